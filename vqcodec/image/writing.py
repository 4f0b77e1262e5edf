"""Pictures out: as files of a format, with all that it can hold, and notes on the rest; as PIL images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from PIL import Image, PngImagePlugin

from vqcodec.errors import OutputError
from vqcodec.exact.bitstream.ancillary import Ancillary
from vqcodec.files import atomic_write
from vqcodec.image import exif as exif_file
from vqcodec.image.alpha import DEFAULT_BACKGROUND, flattened
from vqcodec.image.picture import Picture

# Suffix -> Pillow's name and options. The lossy ones are set so high that vqc's own loss dominates.
_WRITE_FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    # A third of the time of Pillow's own level, for a twentieth more bytes.
    "png": ("PNG", {"compress_level": 3}),
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
_FORMATS_WITHOUT_METADATA = ("JPEG2000", "BMP", "PPM")
_FORMATS_WITHOUT_ALPHA = ("JPEG", "BMP", "PPM")
_FORMATS_WITH_RESOLUTION = ("PNG", "JPEG", "TIFF", "BMP")
_MOST_DPI = 65535
"""What a JPEG has room for; the others hold little more, and nobody means more."""
_JPEG_SEGMENT_BYTES = 65533
_XMP_CHUNK = b"XML:com.adobe.xmp\0\0\0\0\0"
"""What stands before XMP in the iTXt chunk of a PNG: its name; not packed, no language, no translation."""
_XMP_TAG = 700
_XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"
"""What stands before XMP in a JPEG."""


def write_picture(
    picture: Picture,
    target: str | Path | BinaryIO,
    format: str | None = None,
    *,
    force: bool = False,
    background: str | None = None,
) -> tuple[str, ...]:
    """Write a picture and return sentences on what its format cannot keep.

    The format is `format` or the suffix of the target (png, jpg, webp, tif, avif, jp2, bmp, ppm). Transparency is kept
    where the format can hold it, and otherwise laid over white; with a `background`, the name of a color, it is laid
    over that in any format. An existing file is refused unless `force`. Raises OutputError, SettingsError for a color.
    """
    name, options = output_format(target, format)
    picture, notes = _as_held(picture, name, background)
    image = to_pil(picture)
    image.info.clear()
    extra, more = _options(picture, name)
    del picture  # its caller may need it no longer either
    options = {**options, **extra}
    if isinstance(target, (str, Path)):
        with atomic_write(target, force) as file:
            _save(image, file, name, options, str(target))
    else:
        _save(image, target, name, options, "the picture")
    return (*notes, *more)


def output_format(target: str | Path | BinaryIO, format: str | None = None) -> tuple[str, dict[str, Any]]:
    """Return Pillow's name and options for a format such as "png" or a target's suffix; OutputError if unknown."""
    wanted = format or Path(str(getattr(target, "name", target))).suffix
    known = _WRITE_FORMATS.get(wanted.lower().removeprefix("."))
    if known is None:
        names = ", ".join(sorted(_WRITE_FORMATS))
        raise OutputError(f"{target} has no suffix of a picture format that vqc writes; choose one of {names}")
    return known


def to_pil(picture: Picture) -> Image.Image:
    """Return a PIL image, RGB or L, with alpha RGBA or LA, that has the ICC profile, EXIF and XMP in its `info`.

    A gray picture with an ICC profile is RGB, because the profile is one of RGB.
    """
    is_gray = picture.is_gray and not picture.icc
    image = Image.fromarray(picture.pixels[..., 0] if is_gray else picture.pixels)
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    image.info.update(info_of(picture))
    return image


def info_of(said: Picture | Ancillary) -> dict[str, bytes]:
    """Return what is said of a picture under the names that it has in a PIL image's `info`."""
    info = {"icc_profile": said.icc, "exif": said.exif and exif_file.PREFIX + said.exif, "xmp": said.xmp}
    return {name: data for name, data in info.items() if data}


def _as_held(picture: Picture, name: str, background: str | None) -> tuple[Picture, list[str]]:
    """Return a picture without alpha where that is wanted or the format holds none, and a note on what alpha loses."""
    if picture.alpha is None:
        return picture, []
    if background is None and name not in _FORMATS_WITHOUT_ALPHA:
        return picture, [_LOSSY_ALPHA] if name == "AVIF" else []
    flat = flattened(picture, background or DEFAULT_BACKGROUND)
    if background is not None:
        return flat, []
    return flat, [f"transparency is not kept, because {name} files hold none; {LAID_OVER.format(DEFAULT_BACKGROUND)}"]


LAID_OVER = "the picture is laid over {}"
# Pillow's AVIF takes one quality for colors and alpha, and only 100 would keep alpha.
_LOSSY_ALPHA = "transparency is kept with a small loss, because AVIF is written lossily; png and webp keep it exactly"
_DAMAGED = "EXIF metadata are not kept, because they are damaged"


class _Metadata(NamedTuple):
    """What Pillow is told of EXIF and XMP, and notes on what is left out."""

    options: dict[str, Any]
    notes: list[str]


def _options(picture: Picture, name: str) -> tuple[dict[str, Any], list[str]]:
    """Return what Pillow is told besides the pixels, and notes on what the format cannot keep."""
    options: dict[str, Any] = {}
    notes = []
    if picture.icc and name in _FORMATS_WITHOUT_ICC:
        notes.append(f"the ICC profile is not kept, because {name} files hold none")
    elif picture.icc:
        options["icc_profile"] = picture.icc
    if name not in _FORMATS_WITHOUT_METADATA:
        said, more = _IN_FORMAT.get(name, _plainly)(picture)
        options |= said
        notes += more
    elif picture.exif or picture.xmp:
        notes.append(f"EXIF and XMP metadata are not kept, because {name} files hold none")
    dpi = exif_file.dots_per_inch(picture.exif) if picture.exif else None
    if dpi and any(dpi) and name in _FORMATS_WITH_RESOLUTION:
        if min(dpi) >= 1 and max(dpi) <= _MOST_DPI:
            options["dpi"] = dpi
        else:
            notes.append(f"dots per inch are not set in the {name} file, because they are not 1 to {_MOST_DPI}")
    return options, notes


def _plainly(picture: Picture) -> _Metadata:
    said = {"exif": picture.exif and exif_file.PREFIX + picture.exif, "xmp": picture.xmp}
    return _Metadata({name: data for name, data in said.items() if data}, [])


def _in_jpeg(picture: Picture) -> _Metadata:
    """Each has one segment, and what does not fit into it is left out."""
    said = _plainly(picture).options
    spare = {"exif": _JPEG_SEGMENT_BYTES, "xmp": _JPEG_SEGMENT_BYTES - len(_XMP_SEGMENT)}
    fits = {name: data for name, data in said.items() if len(data) <= spare[name]}
    notes = [f"{name.upper()} metadata are not kept, because they are longer than JPEG files hold" for name in said]
    return _Metadata(fits, [note for note, name in zip(notes, said, strict=True) if name not in fits])


def _in_png(picture: Picture) -> _Metadata:
    """XMP is written as its bytes are, whether or not they are a text."""
    said = _plainly(picture).options
    if xmp := said.pop("xmp", None):
        said["pnginfo"] = PngImagePlugin.PngInfo()
        said["pnginfo"].add(b"iTXt", _XMP_CHUNK + xmp)
    return _Metadata(said, [])


def _in_avif(picture: Picture) -> _Metadata:
    """An AVIF has its orientation elsewhere, and Pillow writes EXIF as it is where that does not say one."""
    said, notes = _plainly(picture).options, []
    if picture.exif:
        try:
            said["exif"] = exif_file.PREFIX + exif_file.without_orientation(picture.exif)
            Image.Exif().load(said["exif"])  # as Pillow will
        except Exception:  # damaged EXIF raises nearly anything
            del said["exif"]
            notes.append(_DAMAGED)
    return _Metadata(said, notes)


def _in_tiff(picture: Picture) -> _Metadata:
    """A TIFF says in tags of its own what EXIF says, of which Pillow may be able to read nothing."""
    tags, notes = Image.Exif(), []
    if picture.exif:
        try:
            tags = exif_file.for_tiff(picture.exif)
        except Exception:  # damaged EXIF raises nearly anything
            notes.append(_DAMAGED)
    if picture.xmp:
        tags[_XMP_TAG] = picture.xmp
    options: dict[str, Any] = {"exif": tags} if tags else {}
    if exif_file.has_directories(tags):
        options["compression"] = None  # Pillow packs no TIFF that has directories below its first
    return _Metadata(options, notes)


_IN_FORMAT: dict[str, Callable[[Picture], _Metadata]] = {
    "AVIF": _in_avif,
    "JPEG": _in_jpeg,
    "PNG": _in_png,
    "TIFF": _in_tiff,
}


def _save(image: Image.Image, file: BinaryIO, name: str, options: dict[str, Any], target: str) -> None:
    try:
        image.save(file, name, **options)
    except Exception as error:  # encoders raise OSError, ValueError, KeyError ... for what they cannot hold
        raise OutputError(f"{target} cannot be written as {name}: {error}; choose another format") from error
