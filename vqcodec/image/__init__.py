"""Pictures: files, bytes, arrays and PIL images in, pixels out, and back. The only user of Pillow.

A .vqc file holds 8-bit pixels with alpha, ICC profile, EXIF and XMP. Whatever else a picture has is either turned into
that or left out, and each time `Picture.notes` says so in one sentence.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

from vqcodec.errors import InputError, OutputError, VqcError
from vqcodec.exact.bitstream.header import MAX_PIXELS, MAX_SIDE
from vqcodec.files import read_file, read_stream
from vqcodec.folders import Found, list_folder
from vqcodec.image import depth, jpeg, plugins
from vqcodec.image import png as png_file
from vqcodec.image.alpha import DEFAULT_BACKGROUND, filled, flattened, parse_color, shown, split_alpha
from vqcodec.image.color import to_rgb
from vqcodec.image.drawn import Drawn, coded_pixels, drawn_parts, drawn_pixels
from vqcodec.image.kinds import kind_of
from vqcodec.image.metadata import STRIP, oriented, other_metadata, stripped
from vqcodec.image.parts import laid_over, part_with, resized, resized_in_bands, weighted_part
from vqcodec.image.picture import Picture, picture_with
from vqcodec.image.plugins import missing_note
from vqcodec.image.png import Png
from vqcodec.image.samples import tiff_bits, to_eight_bits
from vqcodec.image.strips import Strips, write_strips
from vqcodec.image.writing import LAID_OVER, info_of, output_format, to_pil, write_picture

__all__ = [
    "STRIP",
    "Drawn",
    "Picture",
    "Strips",
    "check_no_picture",
    "coded_pixels",
    "drawn_parts",
    "drawn_pixels",
    "find_pictures",
    "info_of",
    "is_picture_name",
    "laid_over",
    "list_pictures",
    "missing_note",
    "output_format",
    "parse_color",
    "part_with",
    "picture_with",
    "read_picture",
    "resized",
    "resized_in_bands",
    "shown",
    "stripped",
    "to_pil",
    "weighted_part",
    "write_picture",
    "write_strips",
]

# Names of Pillow; what is not here (EPS, which runs a program, or TGA, which has no signature) is not read.
_READ_FORMATS = ("PNG", "JPEG", "PPM", "BMP", "GIF", "WEBP", "TIFF", "AVIF", "JPEG2000", "QOI")
_READ_SUFFIXES = frozenset(
    ".png .jpg .jpeg .jpe .jfif .mpo .ppm .pgm .pbm .pnm .bmp .gif .webp .tif .tiff .avif .jp2 .j2k .jpx .qoi".split()
)
# Pictures that vqc neither reads nor writes; an output of such a name would pass for one.
_OTHER_SUFFIXES = frozenset(
    ".heic .heif .hif .jxl .tga .psd .svg .eps .dng .raw .nef .nrw .cr2 .cr3 .crw .arw .srf .sr2 .orf .rw2 .raf .pef "
    ".srw .x3f .3fr .fff .iiq .kdc .mrw .erf .exr .hdr .pfm .ico .pcx .apng .xcf".split()
)
_READABLE = "PNG, JPEG, WebP, TIFF, AVIF, JPEG 2000, GIF, BMP, PPM or QOI"
_STRIP = 256
"""Rows that are taken from Pillow at a time."""
_KINDS = frozenset(_READABLE.replace(" or ", ", ").split(", ")) | plugins.PLUGINS.keys()


def read_picture(source: Any, name: str | None = None, *, background: str | None = DEFAULT_BACKGROUND) -> Picture:
    """Return the picture in a path, the bytes of an image file, a binary file object, a PIL image or an array.

    Arrays are uint8 [H, W], [H, W, 3] or [H, W, 4]. The EXIF orientation is applied, 16 bits become 8, CMYK and gray
    become RGB. Alpha is laid over `background`, the name of a color; where that is None it is kept, and the pixels of
    alpha 0 get colors that cost little. `name` is what errors call a source that has no name. Raises InputError,
    SettingsError for a color that is none.
    """
    picture = _read_any(source, name)
    if picture.alpha is None:
        return picture
    if background is None:
        return replace(picture, pixels=filled(picture.pixels, picture.alpha))
    note = f"transparency is not kept; {LAID_OVER.format(background)}"
    return replace(flattened(picture, background), notes=(*picture.notes, note))


def _read_any(source: Any, name: str | None) -> Picture:
    if isinstance(source, np.ndarray):
        return _from_pil(Image.fromarray(_checked_array(source)), name or "the array")
    if isinstance(source, Image.Image):
        with _translated(name or "the image"):
            return _from_pil(source, name or "the image")
    if isinstance(source, (str, os.PathLike)):
        return _read(read_file(Path(source)), str(source))
    name = name or str(getattr(source, "name", "the image data"))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _read(bytes(source), name)
    if hasattr(source, "read"):
        with _translated(name):
            return _read(bytes(read_stream(source, name)), name)
    raise InputError(f"a {type(source).__name__} is not a picture; give a path, bytes, a PIL image or a NumPy array")


def find_pictures(folder: str | Path, recursive: bool = False) -> list[Path]:
    """Return the files in a folder that have a picture's suffix, sorted; see folders.list_folder."""
    return list_folder(folder, _suffixes(), recursive).checked()


def list_pictures(folder: str | Path, more: Iterable[str] = ()) -> Found:
    """Return the files in a folder and those in it that have a picture's suffix or one of `more`, and the rest."""
    found = list_folder(folder, _suffixes().union(more))
    found.hint = missing_note(found.left_out)
    return found


def is_picture_name(name: str) -> bool:
    """Return whether a name has the suffix of a picture that can be read here."""
    return Path(name).suffix.lower() in _suffixes()


def _suffixes() -> frozenset[str]:
    """Return the suffixes of all that can be read here."""
    return _READ_SUFFIXES | plugins.readable_suffixes()


def check_no_picture(target: Path, what: str, suffix: str) -> None:
    """Raise OutputError where `target` has a picture's suffix although `what`, which is no picture, is written."""
    if target.suffix.lower() in _READ_SUFFIXES | _OTHER_SUFFIXES:
        raise OutputError(
            f"{target} has the suffix of a picture, but {what} is written; name it {target.stem + suffix}"
        )


def _checked_array(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise InputError(f"an array of {array.dtype} is not a picture; convert it to uint8 values 0..255")
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))) or array.size == 0:
        raise InputError(f"an array of shape {array.shape} is not a picture; give [H, W], [H, W, 3] or [H, W, 4]")
    _check_size(array.shape[1], array.shape[0], "the array")
    return np.ascontiguousarray(array)


def _read(data: bytes, name: str) -> Picture:
    kind = kind_of(data)
    formats = (*_READ_FORMATS, *plugins.register(kind, name))
    if kind == "PNG":
        png = png_file.take_apart(data)
    else:
        png = Png(data, code_points=depth.avif_code_points(data) if kind == "AVIF" else None)
    with _translated(name, kind), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _open(png, name, formats)
        except OSError:
            if kind != "JPEG" or not jpeg.lacks_only_its_end(data):
                raise
            png.data = jpeg.with_end(data)
            png.notes.append("the JPEG's end marker is missing; all its pixels are there")
            return _open(png, name, formats)


def _open(png: Png, name: str, formats: tuple[str, ...]) -> Picture:
    with Image.open(io.BytesIO(png.data), formats=formats) as image:
        return _from_pil(image, name, png)


@contextmanager
def _translated(name: str, kind: str = "") -> Iterator[None]:
    """Turn whatever Pillow raises into an InputError, which names the kind of the file where it is known."""
    try:
        yield
    except (VqcError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise InputError(_unidentified(name, kind)) from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{name} has more than 2^27 pixels; make it smaller first") from error
    except Exception as error:  # Pillow's decoders raise nearly anything for damaged data
        said = f"{kind}: {error}" if kind else str(error)
        raise InputError(f"{name} is truncated or damaged ({said}); get a complete copy of it") from error


def _unidentified(name: str, kind: str) -> str:
    if kind in _KINDS:
        return f"{name} is truncated or damaged, or of a kind of {kind} that vqc cannot read; get a complete copy of it"
    what = f"is {kind}, which is" if kind else "is"
    return f"{name} {what} not an image that vqc can read; give a {_READABLE} file"


def _check_size(width: int, height: int, name: str) -> None:
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise InputError(f"{name} is {width} x {height}; a side may have {MAX_SIDE} pixels, the whole 2^27")


def _from_pil(image: Image.Image, name: str, file: Png | None = None) -> Picture:
    _check_size(*image.size, name)
    file = file or Png(b"")
    notes = [*file.notes, *_frames(image)]
    bits = depth.bits_per_sample(image.format, image.mode, _tile_arguments(image), getattr(image, "fp", None))
    more = plugins.said_of(image, file.data)
    bits = tiff_bits(image) or max(bits, more.bits)
    xmp = file.xmp or more.xmp or image.info.get("xmp")  # Pillow may change it when it loads
    if not isinstance(xmp, (bytes, str)):
        image.info.pop("xmp", None)  # a number in a TIFF, for which Pillow would not load it
    image.load()
    if bits > 8:
        notes.append(f"{bits} bits per sample are reduced to 8")
    icc = image.info.get("icc_profile") or file.icc
    notes += other_metadata(image, file)
    opened = image
    if file.data and image.format == "PNG":
        image = png_file.key_color(image, file.data)
    image, said = oriented(image, xmp)
    image, alpha = split_alpha(to_eight_bits(image, opened, name))
    image, icc, color_notes = to_rgb(image, icc, file.code_points or more.code_points)
    notes += [*said.notes, *color_notes]
    return Picture(
        _pixels(image),
        icc,
        tuple(dict.fromkeys(notes)),
        None if alpha is None else np.array(alpha),
        said.exif,
        said.xmp,
    )


def _pixels(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Return the pixels uint8 [H, W, 3] of an RGB image; in strips, since Pillow copies twice what is asked for."""
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _STRIP):
        bottom = min(height, top + _STRIP)
        pixels[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return pixels


def _frames(image: Image.Image) -> list[str]:
    """Return a note where there are more frames; those of a TIFF are not counted, which would read the whole file."""
    if image.format == "TIFF":
        return ["only the first of its frames is kept"] if getattr(image, "is_animated", False) else []
    frames = getattr(image, "n_frames", 1)
    return [f"only the first of its {frames} frames is kept"] if frames > 1 else []


def _tile_arguments(image: Image.Image) -> Any:
    """Return what Pillow's decoder is told of the raw samples, or None."""
    tile = image.tile if isinstance(image, ImageFile.ImageFile) else []
    return tile[0][3] if tile else None
