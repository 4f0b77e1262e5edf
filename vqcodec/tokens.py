"""Indices as NumPy arrays in an .npz, for programs that analyse or generate them, and back to a file; no torch.

indices      uint16 [P, h', w'], values 0..K-1
classes      uint8 [h, w], what chose the tables, where the prior is static
width, height, quality, tile       of the picture and its file
fingerprint, model                 of the model; K, m, d_star, beta, mode, depth, method of its quantizer
icc          uint8 [n], the ICC profile, where there is one

`tile` and `icc` may be missing, and what describes model and quantizer besides the fingerprint is for people.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vqcodec.errors import FormatError
from vqcodec.indices import Encoded, Size, assemble, check_fingerprint, check_size, latent_grid, make_header
from vqcodec.model_file import Metadata
from vqcodec.priors import ContextPrior, Prior
from vqcodec.priors.tables import Decoded
from vqcodec.tiles import Tile, tiles_of

MAGIC = b"PK"
"""How an .npz begins, as every zip archive does."""
_QUANTIZER = ("K", "m", "d_star", "beta", "mode", "depth")


class Tokens(NamedTuple):
    """What an .npz says: indices [P, h', w'], classes [h, w] or None, and of which model and picture they are."""

    indices: npt.NDArray[Any]
    classes: npt.NDArray[Any] | None
    size: Size
    fingerprint: bytes
    icc: bytes | None


def to_npz(encoded: Encoded, metadata: Metadata, icc: bytes | None = None) -> bytes:
    """Return the .npz of a picture's indices."""
    values: dict[str, Any] = {
        "indices": encoded.indices,
        "width": encoded.width,
        "height": encoded.height,
        "quality": encoded.quality,
        "tile": encoded.tile,
        "fingerprint": metadata.fingerprint,
        "model": metadata.name,
        "method": metadata.quantizer["name"],
        **{key: metadata.quantizer[key] for key in _QUANTIZER},
    }
    if metadata.context is None:
        values["classes"] = encoded.classes
    if icc:
        values["icc"] = np.frombuffer(icc, np.uint8)
    file = io.BytesIO()
    np.savez_compressed(file, **values)
    return file.getvalue()


def from_npz(data: bytes) -> Tokens:
    """Return what an .npz says; FormatError where it is damaged, or not of indices."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            values = {key: file[key] for key in file.files}
        indices = values["indices"]
        width, height = int(values["width"]), int(values["height"])
        size = Size(width, height, float(values["quality"]), int(values.get("tile", 0)))
        fingerprint = bytes.fromhex(str(values["fingerprint"]))
        icc = values["icc"].astype(np.uint8).tobytes() if "icc" in values else None
    except KeyError as error:
        raise FormatError(f"the .npz holds no {error.args[0]}; what it needs is in docs/tokens.md") from error
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise FormatError(f"the .npz cannot be read ({error}); it is damaged or not one of vqc tokens") from error
    return Tokens(indices, values.get("classes"), size, fingerprint, icc)


def complete(tokens: Tokens, metadata: Metadata, prior: Prior) -> Encoded:
    """Return the picture that tokens are of, with all that a file needs.

    ModelError for another model; FormatError for indices that are not whole numbers of 0..K-1, do not fit the
    picture, or are none that the model codes.
    """
    check_fingerprint(tokens.fingerprint, metadata)
    size = tokens.size
    make_header(size, metadata, prior, crc=0)
    check_size(size.height, size.width, metadata)
    grid = latent_grid(size.height, size.width, metadata.stride)
    shape = (metadata.planes, *(metadata.factor * side for side in grid))
    indices = _checked("indices", tokens.indices, shape, prior.K).astype(np.uint16)
    if isinstance(prior, ContextPrior):
        tiles = tiles_of(grid, size.tile)
        return assemble(((tile, prior.follow(tile.of(indices), size.quality)) for tile in tiles), size, metadata)
    classes = np.zeros(grid, np.uint8) if tokens.classes is None and prior.classes == 1 else tokens.classes
    if classes is None:
        raise FormatError(f"the .npz holds no classes, of which this model has {prior.classes}; keep them with indices")
    classes = _checked("classes", classes, grid, prior.classes).astype(np.uint8)
    return Encoded(indices, classes, None, size.width, size.height, size.quality, size.tile)


def sample(seed: int, size: Size, metadata: Metadata, prior: Prior) -> Encoded:
    """Return a picture drawn from the prior: its file is as likely as the prior's tables say."""
    make_header(size, metadata, prior, crc=0)
    check_size(size.height, size.width, metadata)
    numbers = np.random.default_rng(seed)

    def draw(tile: Tile) -> tuple[Tile, Decoded]:
        return tile, prior.sample(numbers, tile.grid, size.quality)

    grid = latent_grid(size.height, size.width, metadata.stride)
    return assemble(map(draw, tiles_of(grid, size.tile)), size, metadata)


def _checked(name: str, values: npt.NDArray[Any], shape: tuple[int, ...], count: int) -> npt.NDArray[Any]:
    if values.shape != shape:
        raise FormatError(f"the .npz has {name} of shape {values.shape}; this model and picture need {shape}")
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= count:
        raise FormatError(f"the .npz has {name} that are not whole numbers of 0..{count - 1}")
    return values
