"""What an image file tells besides its pixels, none of which a .vqc file keeps."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image, TiffImagePlugin

# Of PNG's texts these are other metadata that have a name of their own.
_XMP_TEXT = "XML:com.adobe.xmp"
_PROFILE_TEXT = "Raw profile type "
_IPTC_TAGS = (0x83BB, 0x8649)
"""TIFF: IPTC, and Photoshop's resources, which hold it too."""
_FIXED_RESOLUTION = ("BMP", "DIB")
"""Formats whose header has a field for it, so that it says nothing."""
_OF_THE_ENCODER = b"Created by OpenJPEG"
_NO_RESOLUTION = (0, 1, 72)
"""What writers put where they know none, and what Pillow says where a file says nothing."""


def other_metadata(image: Image.Image) -> list[str]:
    """Return a note on what an opened and loaded image holds besides pixels, ICC profile, EXIF and XMP; or nothing."""
    kinds = list(_kinds(image))
    return [f"{', '.join(kinds)} are not kept"] if kinds else []


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
    if round(image.info.get("dpi", (0,))[0]) not in _NO_RESOLUTION and image.format not in _FIXED_RESOLUTION:
        yield "dots per inch"
