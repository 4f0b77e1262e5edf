"""Indices as NumPy arrays in an .npz, for programs that analyze or generate them, and back to a file; no torch.

indices      uint16 [P, h', w'], values 0..K-1
classes      uint8 [h, w], what chose the tables, where the prior is static
width, height, quality, tile, halved       of the picture and its file
fingerprint, model                 of the model; K, m, d_star, beta, mode, depth, method of its quantizer
icc          uint8 [n], the ICC profile, where there is one
sections     uint8 [n], other optional sections (gray, alpha, EXIF, XMP) as they stand in the file, where it has any

`tile`, `halved`, `icc` and `sections` may be missing. What describes model and quantizer besides the fingerprint is for
people.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vqcodec.errors import FormatError
from vqcodec.exact.bitstream.ancillary import Ancillary, unpack_sections
from vqcodec.exact.bitstream.container import NOTHING, pack_sections, read_sections
from vqcodec.exact.bitstream.header import MAX_INDICES, MAX_PIXELS, MAX_SIDE, Reader
from vqcodec.exact.bitstream.sections import (
    COLOR_SPACE,
    HALVED,
    ICC_PROFILE,
    INDICES,
    MOST_STREAM_BYTES,
    OVERLAY,
    PIXELS,
    Section,
)
from vqcodec.exact.headers import Size, check_fingerprint, check_size, latent_grid, make_header
from vqcodec.exact.indices import PictureChoice, assemble
from vqcodec.exact.model_file import Metadata
from vqcodec.exact.priors import Prior
from vqcodec.exact.priors.tables import Choice
from vqcodec.exact.tiles import Tile, tiles_of

MAGIC = b"PK"
"""How an .npz begins, as every zip archive does."""
_LARGE = ("indices", "classes", "icc", "sections")
_MOST_BYTES = 2 * MAX_INDICES + 4096
_HEAD_BYTES = 4096
_MOST_CLASSES = 1 << 27
"""Latent positions of the largest picture with the smallest stride."""
_MOST_SECTION_BYTES = 1 << 28
_MOST = {
    "indices": _MOST_BYTES,
    "classes": _MOST_CLASSES + _HEAD_BYTES,
    "icc": MOST_STREAM_BYTES + _HEAD_BYTES,
    "sections": _MOST_SECTION_BYTES,
}
_SMALL = ("width", "height", "quality", "tile", "halved", "fingerprint")
_QUANTIZER = ("K", "m", "d_star", "beta", "mode", "depth")


class Tokens(NamedTuple):
    """What an .npz says: indices [P, h', w'], classes [h, w] or None, and of which model and picture they are."""

    indices: npt.NDArray[Any]
    classes: npt.NDArray[Any] | None
    size: Size
    fingerprint: bytes
    ancillary: Ancillary


def to_npz(encoded: PictureChoice, metadata: Metadata, prior: Prior, ancillary: Ancillary = NOTHING) -> bytes:
    """Return the .npz of a picture's indices, and of what else its file says of it."""
    file = io.BytesIO()
    np.savez_compressed(file, **said_of_model(metadata), **said_of_picture(encoded, prior, ancillary))
    return file.getvalue()


def said_of_model(metadata: Metadata) -> dict[str, Any]:
    """Return what says of which model indices are: its fingerprint, and for people its name and quantizer."""
    return {
        "fingerprint": metadata.fingerprint,
        "model": metadata.name,
        "method": metadata.quantizer["name"],
        **{key: metadata.quantizer[key] for key in _QUANTIZER},
    }


def said_of_picture(encoded: PictureChoice, prior: Prior, ancillary: Ancillary = NOTHING) -> dict[str, Any]:
    """Return a picture's indices and what else its file says of it, by the names in an .npz."""
    size = encoded.size._asdict()
    values: dict[str, Any] = {"indices": encoded.choice.indices, "halved": int(size.pop("is_halved")), **size}
    if prior.free_classes:
        values["classes"] = encoded.choice.classes
    if ancillary.icc:
        values["icc"] = np.frombuffer(ancillary.icc, np.uint8)
    others = [section for section in ancillary.sections if section.type not in (ICC_PROFILE, COLOR_SPACE)]
    if others:
        values["sections"] = np.frombuffer(pack_sections(others), np.uint8)
    return values


@contextmanager
def npz_errors() -> Iterator[None]:
    """Let whatever goes wrong in reading an .npz of tokens be a FormatError."""
    try:
        yield
    except KeyError as error:
        raise FormatError(f"the .npz holds no {error.args[0]}; docs/tokens.md lists what it needs") from error
    except FormatError:
        raise
    # What a damaged archive makes of zipfile, zlib and NumPy's parser is more than can be listed.
    except Exception as error:
        raise FormatError(f"the .npz cannot be read ({error}); it is damaged or not one of vqc tokens") from error


def from_npz(data: bytes) -> Tokens:
    """Return what an .npz says; FormatError where it is damaged, or not of indices."""
    with npz_errors():
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            # What is small comes first: an archive whose picture makes no sense is not unpacked any further.
            for name in _LARGE:
                if f"{name}.npy" in file.namelist():
                    _check_head(file, name)
            values = {name: _read(file, name) for name in _SMALL if f"{name}.npy" in file.namelist()}
            said = {name: value if value.ndim else value.item() for name, value in values.items()}
            _size(said)
            values |= {name: _read(file, name) for name in _LARGE if f"{name}.npy" in file.namelist()}
        return from_values({**values, **said})


def from_values(values: Mapping[str, Any]) -> Tokens:
    """Return what the values of one picture say, by their names in an .npz; KeyError where one is missing."""
    size, fingerprint = _size(values), bytes.fromhex(str(values["fingerprint"]))
    icc, sections = (_bytes(name, values.get(name)) for name in ("icc", "sections"))
    kept = unpack_sections(_sections(sections or b""), size.height, size.width)
    return Tokens(values["indices"], values.get("classes"), size, fingerprint, replace(kept, icc=icc))


def complete(tokens: Tokens, metadata: Metadata, prior: Prior) -> PictureChoice:
    """Return the picture that tokens are of, with all that a file needs.

    ModelError for another model; FormatError for indices that are not whole numbers of 0..K-1, do not fit the
    picture, or are none that the model codes.
    """
    check_fingerprint(tokens.fingerprint, metadata)
    size = tokens.size
    make_header(size, metadata, prior, crc=0)
    check_size(size, metadata)
    grid = latent_grid(size, metadata.stride)
    shape = (metadata.planes, *(metadata.factor * side for side in grid))
    indices = _checked("indices", tokens.indices, shape, prior.K).astype(np.uint16)
    classes = _classes(tokens.classes, grid, prior.free_classes)

    def follow(tile: Tile) -> tuple[Tile, Choice]:
        return tile, prior.follow(tile.of(indices, metadata.factor), tile.of(classes), size.quality)

    return assemble(map(follow, tiles_of(grid, size.tile)), size, metadata)


def sample(seed: int, size: Size, metadata: Metadata, prior: Prior) -> PictureChoice:
    """Return a picture drawn from the prior: its file is as likely as the prior's tables say."""
    make_header(size, metadata, prior, crc=0)
    check_size(size, metadata)
    noise = np.random.PCG64(seed)

    def draw(tile: Tile) -> tuple[Tile, Choice]:
        return tile, prior.sample(noise, tile.grid, size.quality)

    grid = latent_grid(size, metadata.stride)
    return assemble(map(draw, tiles_of(grid, size.tile)), size, metadata)


def _read(file: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    """Return an array of the archive; its size is looked at before it is unpacked."""
    _check_bytes(file, name)
    array: npt.NDArray[Any] = np.lib.format.read_array(io.BytesIO(file.read(f"{name}.npy")), allow_pickle=False)
    return array


def _check_bytes(file: zipfile.ZipFile, name: str) -> None:
    size = file.getinfo(f"{name}.npy").file_size
    if size > _MOST.get(name, _HEAD_BYTES):
        raise FormatError(f"the .npz has {size:,} bytes of {name}; no picture needs so many")


def _check_head(file: zipfile.ZipFile, name: str) -> None:
    """Raise FormatError for an array with more numbers than a picture has; only its beginning is unpacked."""
    _check_bytes(file, name)
    with file.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, _ = read(stream)
    if math.prod(shape) > MAX_INDICES:
        raise FormatError(f"the .npz has {name} of shape {shape}; no picture needs so many")


def _size(said: Mapping[str, Any]) -> Size:
    width, height, quality = _whole(said["width"]), _whole(said["height"]), float(said["quality"])
    halved = _whole(said.get("halved", 0))
    if halved not in (0, 1):
        raise FormatError(f"the .npz says halved={halved}; choose 0 or 1")
    size = Size(width, height, quality, _whole(said.get("tile", 0)), bool(halved))
    if not 1 <= size.quality <= 100 or size.quality % 0.5:
        raise FormatError(f"the .npz says quality={size.quality:g}; choose 1..100 in half steps")
    for name, side in (("width", size.width), ("height", size.height)):
        if side < 1:
            raise FormatError(f"the .npz says {name}={side}; at least 1 is needed")
    if max(size.width, size.height) > MAX_SIDE or size.width * size.height > MAX_PIXELS:
        raise FormatError(f"the .npz says {size.width} x {size.height} pixels; at most 2^27 are allowed")
    return size


def _whole(value: Any) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise FormatError(f"the .npz says {value:g} where a whole number is needed")
    return int(value)


def _bytes(name: str, values: npt.NDArray[Any] | None) -> bytes | None:
    if values is None:
        return None
    most = _MOST[name] - _HEAD_BYTES
    if values.dtype != np.uint8 or values.ndim != 1 or not 1 <= len(values) <= most:
        raise FormatError(f"the .npz has {name} that is not uint8 [n] with n of 1..{most}")
    return values.tobytes()


def _sections(data: bytes) -> dict[int, Section]:
    sections = {section.type: section for section in read_sections(Reader(data))}
    if sections.keys() & {INDICES, PIXELS, OVERLAY, HALVED, ICC_PROFILE, COLOR_SPACE}:
        raise FormatError("the .npz has sections that are pixels, or have arrays of their own: indices, halved or icc")
    return sections


def _classes(said: npt.NDArray[Any] | None, grid: tuple[int, int], count: int) -> npt.NDArray[np.uint8]:
    """Return classes uint8 [h, w] of which an encoder chose among `count`; zeros where there was no choice."""
    if said is None and count > 1:
        raise FormatError(f"the .npz holds no classes, of which this model has {count}; keep them with indices")
    if said is None or not count:
        return np.zeros(grid, np.uint8)
    return _checked("classes", said, grid, count).astype(np.uint8)


def _checked(name: str, values: npt.NDArray[Any], shape: tuple[int, ...], count: int) -> npt.NDArray[Any]:
    if values.shape != shape:
        raise FormatError(f"the .npz has {name} of shape {values.shape}; this model and picture need {shape}")
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= count:
        raise FormatError(f"the .npz has {name} that are not whole numbers of 0..{count - 1}")
    return values
