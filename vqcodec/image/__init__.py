"""Pictures: files, bytes, arrays and PIL images in, pixels out, and back. The only user of Pillow.

A .vqc file holds 8-bit RGB pixels and an ICC profile. Whatever else a picture has is either
turned into that or left out, and each time `Picture.notes` says so in one sentence.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from vqcodec.errors import InputError, OutputError, VqcError
from vqcodec.exact.bitstream.header import MAX_PIXELS, MAX_SIDE
from vqcodec.files import atomic_write, read_file, read_stream
from vqcodec.folders import Found, list_folder
from vqcodec.image import depth, jpeg
from vqcodec.image import png as png_file
from vqcodec.image.color import to_rgb
from vqcodec.image.kinds import kind_of
from vqcodec.image.metadata import other_metadata
from vqcodec.image.png import METADATA_NOTE, Png
from vqcodec.image.samples import tiff_bits, to_eight_bits

# Names of Pillow; what is not here (EPS, which runs a program, or TGA, which has no signature) is not read.
_READ_FORMATS = ("PNG", "JPEG", "PPM", "BMP", "GIF", "WEBP", "TIFF", "AVIF", "JPEG2000", "QOI")
_READ_SUFFIXES = frozenset(
    ".png .jpg .jpeg .jpe .jfif .mpo .ppm .pgm .pbm .pnm .bmp .gif .webp .tif .tiff .avif .jp2 .j2k .jpx .qoi".split()
)
# Pictures that vqc neither reads nor writes; an output of such a name would pass for one.
_OTHER_SUFFIXES = frozenset(
    ".heic .heif .jxl .tga .psd .svg .eps .dng .raw .nef .nrw .cr2 .cr3 .crw .arw .srf .sr2 .orf .rw2 .raf .pef "
    ".srw .x3f .3fr .fff .iiq .kdc .mrw .erf .exr .hdr .pfm .ico .pcx .apng .xcf".split()
)
_READABLE = "PNG, JPEG, WebP, TIFF, AVIF, JPEG 2000, GIF, BMP, PPM or QOI"
# Suffix -> Pillow's name and options. The lossy ones are set so high that vqc's own loss dominates.
_WRITE_FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("PNG", {}),
    "jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    "jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    "webp": ("WEBP", {"lossless": True}),
    "tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "tiff": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "avif": ("AVIF", {"quality": 95, "subsampling": "4:4:4"}),
    "jp2": ("JPEG2000", {}),
    "bmp": ("BMP", {}),
    "ppm": ("PPM", {}),
}
_FORMATS_WITHOUT_ICC = ("JPEG2000", "BMP", "PPM")
# EXIF tags that tell something: description, make, model, date, artist, copyright, EXIF and GPS folders.
_EXIF_TAGS = (0x010E, 0x010F, 0x0110, 0x0132, 0x013B, 0x8298, 0x8769, 0x8825)
_ORIENTATION = 0x0112


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels uint8 [H, W, 3], their ICC profile or None (sRGB), and sentences on what was not kept."""

    pixels: npt.NDArray[np.uint8]
    icc: bytes | None = None
    notes: tuple[str, ...] = ()


def read_picture(source: Any, name: str | None = None) -> Picture:
    """Return the picture in a path, the bytes of an image file, a binary file object, a PIL image or an array.

    Arrays are uint8 [H, W], [H, W, 3] or [H, W, 4]. The EXIF orientation is applied, alpha is
    laid over white, 16 bits become 8, CMYK and gray become RGB. `name` is what errors call a
    source that has no name. Raises InputError.
    """
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


def write_picture(
    picture: Picture, target: str | Path | BinaryIO, format: str | None = None, *, force: bool = False
) -> tuple[str, ...]:
    """Write a picture and return sentences on what its format cannot keep.

    The format is `format` or the suffix of the target (png, jpg, webp, tif, avif, jp2, bmp,
    ppm). An existing file is refused unless `force`. Raises OutputError.
    """
    name, options = output_format(target, format)
    image = to_pil(picture)
    if isinstance(target, (str, Path)):
        with atomic_write(target, force) as file:
            _save(image, file, name, options, str(target))
    else:
        _save(image, target, name, options, "the picture")
    if picture.icc and name in _FORMATS_WITHOUT_ICC:
        return (f"the ICC profile is not kept, because {name} files hold none",)
    return ()


def output_format(target: str | Path | BinaryIO, format: str | None = None) -> tuple[str, dict[str, Any]]:
    """Return Pillow's name and options for a format such as "png" or a target's suffix; OutputError if unknown."""
    wanted = format or Path(str(getattr(target, "name", target))).suffix
    known = _WRITE_FORMATS.get(wanted.lower().removeprefix("."))
    if known is None:
        names = ", ".join(sorted(_WRITE_FORMATS))
        raise OutputError(f"{target} has no suffix of a picture format that vqc writes; choose one of {names}")
    return known


def to_pil(picture: Picture) -> Image.Image:
    """Return an RGB PIL image with the ICC profile in its `info`."""
    image = Image.fromarray(picture.pixels)
    if picture.icc:
        image.info["icc_profile"] = picture.icc
    return image


def find_pictures(folder: str | Path, recursive: bool = False) -> list[Path]:
    """Return the files in a folder that have a picture's suffix, sorted; see folders.list_folder."""
    return list_folder(folder, _READ_SUFFIXES, recursive).checked()


def list_pictures(folder: str | Path, more: Iterable[str] = ()) -> Found:
    """Return the files in a folder and those in it that have a picture's suffix or one of `more`, and the rest."""
    return list_folder(folder, _READ_SUFFIXES.union(more))


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
    if kind == "PNG":
        png = png_file.take_apart(data)
    else:
        png = Png(data, code_points=depth.avif_code_points(data) if kind == "AVIF" else None)
    with _translated(name, kind), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _open(png, name)
        except OSError:
            if kind != "JPEG" or not jpeg.lacks_only_its_end(data):
                raise
            png.data = jpeg.with_end(data)
            png.notes.append("the JPEG's end marker is missing; all its pixels are there")
            return _open(png, name)


def _open(png: Png, name: str) -> Picture:
    with Image.open(io.BytesIO(png.data), formats=_READ_FORMATS) as image:
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
    if kind and kind in _READABLE:
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
    bits = tiff_bits(image) or bits
    image.load()
    if bits > 8:
        notes.append(f"{bits} bits per sample are reduced to 8")
    icc = image.info.get("icc_profile") or file.icc
    notes += other_metadata(image)
    opened = image
    if file.data and image.format == "PNG":
        image = png_file.key_color(image, file.data)
    image, exif_notes = _oriented(image)
    notes += exif_notes
    image, alpha = _split_alpha(to_eight_bits(image, opened, name))
    image, icc, color_notes = to_rgb(image, icc, file.code_points)
    notes += color_notes
    if alpha is not None:
        notes.append("transparency is not kept; the picture is laid over white")
        image = Image.composite(image, Image.new("RGB", image.size, "white"), alpha)
    return Picture(np.array(image, dtype=np.uint8), icc, tuple(dict.fromkeys(notes)))


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


def _oriented(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Return the image as its EXIF orientation says it should be seen, and a note if there is more metadata."""
    try:
        exif = image.getexif()
        has_metadata = "xmp" in image.info or any(tag in exif for tag in _EXIF_TAGS)
        # Of a large picture every copy counts, so none is made where nothing is to be turned.
        oriented = image if exif.get(_ORIENTATION, 1) == 1 else ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF raises nearly anything; the pixels are good all the same
        return image, ["the EXIF metadata are damaged; they are ignored and not kept"]
    return oriented, [METADATA_NOTE] if has_metadata else []


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return an image without alpha, and its alpha "L", or None where every pixel is opaque."""
    if not image.has_transparency_data:
        return image, None
    gray = image.mode in ("LA", "La")
    whole = image.convert("LA" if gray else "RGBA")
    alpha = whole.getchannel("A")
    return whole.convert("L" if gray else "RGB"), None if alpha.getextrema()[0] == 255 else alpha


def _save(image: Image.Image, file: BinaryIO, name: str, options: dict[str, Any], target: str) -> None:
    profile = image.info.get("icc_profile")
    extra = {"icc_profile": profile} if profile and name not in _FORMATS_WITHOUT_ICC else {}
    try:
        image.save(file, name, **options, **extra)
    except Exception as error:  # encoders raise OSError, ValueError, KeyError ... for what they cannot hold
        raise OutputError(f"{target} cannot be written as {name}: {error}; choose another format") from error
