"""What an image file tells besides its pixels: EXIF and XMP, which are kept, and the rest, which is not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from PIL import Image, ImageOps, TiffImagePlugin

from vqcodec.errors import SettingsError
from vqcodec.exact.bitstream.sections import MOST_STREAM_BYTES
from vqcodec.image import exif as exif_file
from vqcodec.image import plugins
from vqcodec.image import xmp as xmp_file
from vqcodec.image.picture import Picture
from vqcodec.image.png import Png

STRIP = ("none", "gps", "all")
"""What of its metadata a picture can be made to lose."""
# Of PNG's texts these are other metadata that have a name of their own.
_XMP_TEXT = "XML:com.adobe.xmp"
_PROFILE_TEXT = "Raw profile type "
_EXIF_TEXT = "Raw profile type exif"
_IPTC_TAGS = (0x83BB, 0x8649)
"""TIFF: IPTC, and Photoshop's resources, which hold it too."""
_FIXED_RESOLUTION = ("BMP", "DIB")
"""Formats whose header has a field for it, so that it says nothing."""
_OF_THE_ENCODER = b"Created by OpenJPEG"
_NO_RESOLUTION = (0, 1, 72)
"""What writers put where they know none, and what Pillow says where a file says nothing."""
_SAME_DPI = 0.5
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/"
_DAMAGED = "the EXIF metadata are damaged; they are ignored and not kept"


class Metadata(NamedTuple):
    """EXIF and XMP as a .vqc file holds them, or None, and sentences on what of them is lost."""

    exif: bytes | None
    xmp: bytes | None
    notes: list[str]


def oriented(image: Image.Image, xmp: object) -> tuple[Image.Image, Metadata]:
    """Return a loaded image as its orientation says it should be seen, and its metadata, which then say that no more.

    xmp: what Pillow says the file holds of it, of any type. Resolution becomes EXIF where there is none.
    """
    xmp = xmp.encode() if isinstance(xmp, str) else xmp if isinstance(xmp, bytes) else None
    if xmp:
        image.info.setdefault("xmp", xmp)
    turned, notes = image, list[str]()
    try:
        said = image.info.get("exif")
        if said and said.startswith(2 * exif_file.PREFIX):  # Pillow copies all for every prefix
            image.info["exif"] = exif_file.PREFIX + exif_file.bare(said)
        # Of a large picture every copy counts, so none is made where nothing is to be turned.
        if image.getexif().get(exif_file.ORIENTATION, 1) != 1 and not plugins.is_upright(image):
            turned = ImageOps.exif_transpose(image)
        exif, notes = _kept("EXIF", _exif(image), [])
    except Exception:  # damaged EXIF raises nearly anything; the pixels are good all the same
        exif, notes = None, [_DAMAGED]
    xmp, notes = _kept("XMP", xmp and xmp_file.cleaned(xmp), notes)
    if _dpi(image) and (exif is None or not _says(exif, _dpi(image))):
        notes.append("dots per inch are not kept")
    return turned, Metadata(exif, xmp, notes)


def other_metadata(image: Image.Image, file: Png) -> list[str]:
    """Return a note on what an opened and loaded image holds besides all that is kept; or nothing."""
    kinds = list(_kinds(image))
    if file.private:
        kinds.append(f"private parts of the PNG ({', '.join(sorted(file.private))})")
    return [f"{', '.join(kinds)} are not kept"] if kinds else []


def stripped(picture: Picture, what: str) -> Picture:
    """Return a picture without EXIF and XMP ("all"), or without the places in them ("gps"), or as it is ("none").

    SettingsError for any other word. What cannot be searched for places is left out as a whole, which a note says.
    """
    if what not in STRIP:
        raise SettingsError(f"{what!r} cannot be stripped; choose one of {', '.join(STRIP)}")
    if what == "none":
        return picture
    if what == "all":
        return replace(picture, exif=None, xmp=None)
    notes, exif = list(picture.notes), None
    xmp = xmp_file.without_gps(picture.xmp) if picture.xmp else None
    if picture.xmp and xmp is None:
        notes.append("the XMP metadata are left out, because not all places in them can be taken out")
    try:
        exif = exif_file.without_gps(picture.exif) if picture.exif else None
    except ValueError:
        notes.append(_DAMAGED)
    return replace(picture, exif=exif, xmp=xmp, notes=tuple(notes))


def _exif(image: Image.Image) -> bytes | None:
    """Return an image's EXIF, cleaned, or made of what it says in another way; ValueError where it is damaged."""
    said = image.info.get("exif")
    if said is None and (text := image.info.get(_EXIF_TEXT)):
        said = bytes.fromhex("".join(text.split("\n")[3:]))
    exif = exif_file.cleaned(said) if said else None
    return exif or exif_file.of_tags(image, _dpi(image))


def _kept(name: str, data: bytes | None, notes: list[str]) -> tuple[bytes | None, list[str]]:
    if data and len(data) > MOST_STREAM_BYTES:
        return None, [*notes, f"{name} metadata of more than 2^24 bytes are not kept"]
    return data or None, notes


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    """Return the dots per inch that a file says, where it means something by it."""
    try:
        dpi = [float(value) for value in image.info.get("dpi") or (0,)]
    except ZeroDivisionError:  # 0/0, which newer Pillows say is no number
        return None
    if not all(map(math.isfinite, dpi)) or image.format in _FIXED_RESOLUTION:
        return None
    if all(round(value) in _NO_RESOLUTION for value in dpi):
        return None
    return dpi[0], dpi[-1]


def _says(exif: bytes, dpi: tuple[float, float] | None) -> bool:
    said = exif_file.dots_per_inch(exif)
    return said is not None and dpi is not None and all(abs(a - b) < _SAME_DPI for a, b in zip(said, dpi, strict=True))


def _kinds(image: Image.Image) -> Iterator[str]:
    comment = image.info.get("comment") or b""
    if comment and not (image.format == "JPEG2000" and bytes(comment).startswith(_OF_THE_ENCODER)):
        yield "comments"
    texts = getattr(image, "text", {})
    if any(name != _XMP_TEXT and not name.startswith(_PROFILE_TEXT) for name in texts):
        yield "texts"
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    if image.info.get("photoshop") or any(tag in tags for tag in _IPTC_TAGS):
        yield "IPTC data"
    if any(data.startswith(_EXTENDED_XMP) for _, data in getattr(image, "applist", ())):
        yield "extensions of XMP"
