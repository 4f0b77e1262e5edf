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

from vqcodec import image_depth
from vqcodec.bitstream.container import MAX_ICC_BYTES
from vqcodec.bitstream.header import MAX_PIXELS, MAX_SIDE
from vqcodec.errors import InputError, OutputError, VqcError
from vqcodec.files import atomic_write
from vqcodec.folders import Found, list_folder
from vqcodec.image_metadata import other_metadata

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
_RGB_PROFILE = b"RGB "


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels uint8 [H, W, 3], their ICC profile or None (sRGB), and sentences on what was not kept."""

    pixels: npt.NDArray[np.uint8]
    icc: bytes | None = None
    notes: tuple[str, ...] = ()


def read_picture(source: Any, name: str | None = None) -> Picture:
    """Return the picture in a path, the bytes of an image file, a binary file object, a PIL image or an array.

    Arrays are uint8 [H, W], [H, W, 3] or [H, W, 4]. The EXIF orientation is applied, alpha is
    laid over white, 16 bits become 8, CMYK and grey become RGB. `name` is what errors call a
    source that has no name. Raises InputError.
    """
    if isinstance(source, np.ndarray):
        return _from_pil(Image.fromarray(_checked_array(source)), name or "the array")
    if isinstance(source, Image.Image):
        with _translated(name or "the image"):
            return _from_pil(source, name or "the image")
    if isinstance(source, (str, os.PathLike)):
        return _read(Path(source), str(source))
    name = name or str(getattr(source, "name", "the image data"))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _read(io.BytesIO(source), name)
    if hasattr(source, "read"):
        with _translated(name):
            return _read(io.BytesIO(source.read()), name)
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


def _read(source: Path | io.BytesIO, name: str) -> Picture:
    with _translated(name), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(source, formats=_READ_FORMATS) as image:
            return _from_pil(image, name)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises into an InputError."""
    try:
        yield
    except (VqcError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist; check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{name} is a folder, not a picture; name the pictures in it") from error
    except PermissionError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{name} is not an image that vqc can read; give a {_READABLE} file") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{name} has more than 2^27 pixels; make it smaller first") from error
    except Exception as error:  # Pillow's decoders raise nearly anything for damaged data
        raise InputError(f"{name} is truncated or damaged ({error}); get a complete copy of it") from error


def _check_size(width: int, height: int, name: str) -> None:
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise InputError(f"{name} is {width} x {height}; a side may have {MAX_SIDE} pixels, the whole 2^27")


def _from_pil(image: Image.Image, name: str) -> Picture:
    _check_size(*image.size, name)
    notes = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"only the first of its {frames} frames is kept")
    bits = image_depth.bits_per_sample(image.format, image.mode, _tile_arguments(image), getattr(image, "fp", None))
    image.load()
    if bits > 8:
        notes.append(f"{bits} bits per sample are reduced to 8")
    icc = image.info.get("icc_profile") or None
    notes += other_metadata(image)
    image, exif_notes = _oriented(image)
    notes += exif_notes
    image, alpha = _split_alpha(_to_eight_bits(image, name))
    image, icc, colour_notes = _to_rgb(image, icc)
    notes += colour_notes
    if alpha is not None:
        notes.append("transparency is not kept; the picture is laid over white")
        image = Image.composite(image, Image.new("RGB", image.size, "white"), alpha)
    return Picture(np.array(image, dtype=np.uint8), icc, tuple(notes))


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
    return oriented, ["EXIF and XMP metadata are not kept"] if has_metadata else []


def _to_eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Return a wide single-channel image as "L" (or "LA"), scaled from 0..65535; others as they are."""
    if not image.mode.startswith(("I", "F")):
        return image
    samples = np.asarray(image)
    if samples.dtype.kind == "f" or samples.min() < 0 or samples.max() > 65535:
        raise InputError(f"{name} has samples outside 0..65535; convert it to 8 or 16 bits first")
    grey = Image.fromarray(((samples.astype(np.uint32) + 128) // 257).astype(np.uint8))
    if "transparency" in image.info:
        grey.putalpha(Image.fromarray(np.where(samples == image.info["transparency"], 0, 255).astype(np.uint8)))
    return grey


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return an image without alpha, and its alpha "L", or None where every pixel is opaque."""
    if not image.has_transparency_data:
        return image, None
    grey = image.mode in ("LA", "La")
    whole = image.convert("LA" if grey else "RGBA")
    alpha = whole.getchannel("A")
    return whole.convert("L" if grey else "RGB"), None if alpha.getextrema()[0] == 255 else alpha


def _to_rgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, bytes | None, list[str]]:
    """Return an RGB image, the profile that still fits it, and notes."""
    notes = []
    if image.mode == "CMYK":
        notes.append("CMYK is converted to RGB" + ("" if icc else " plainly, because it has no ICC profile"))
    if icc is not None and (len(icc) >= MAX_ICC_BYTES or len(icc) < 128):
        return image.convert("RGB"), None, [*notes, "the ICC profile is not kept, because its length is not possible"]
    if icc is None or (icc[16:20] == _RGB_PROFILE and image.mode != "CMYK"):
        return image if image.mode == "RGB" else image.convert("RGB"), icc, notes
    converted = _by_profile(image, icc)
    if converted is None:
        return image.convert("RGB"), None, [*notes, "the ICC profile does not fit the picture and is not kept"]
    return converted, None, [*notes, "the colours are converted to sRGB by the ICC profile, which is not kept"]


def _by_profile(image: Image.Image, icc: bytes) -> Image.Image | None:
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _save(image: Image.Image, file: BinaryIO, name: str, options: dict[str, Any], target: str) -> None:
    profile = image.info.get("icc_profile")
    extra = {"icc_profile": profile} if profile and name not in _FORMATS_WITHOUT_ICC else {}
    try:
        image.save(file, name, **options, **extra)
    except Exception as error:  # encoders raise OSError, ValueError, KeyError ... for what they cannot hold
        raise OutputError(f"{target} cannot be written as {name}: {error}; choose another format") from error
