"""Pictures that were drawn and not photographed: without loss they may take fewer bytes than with it."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

from PIL import features

from vqcodec.image.picture import Picture
from vqcodec.image.writing import to_pil

_DRAWN_SHARE = 0.5
"""Of a drawn picture more pixels than this equal their left neighbor; of a photograph few do, burnt skies apart."""
_LARGEST = 1 << 24
"""Most pixels that are tried: some ten seconds of WebP."""
_LARGEST_WEBP_SIDE = 16383


def smaller_without_loss(picture: Picture, size_bytes: int) -> str | None:
    """Return a sentence where lossless WebP, or PNG, of a picture with all that is kept has fewer than `size_bytes`.

    Only drawn pictures are tried, so that photographs cost no time.
    """
    pixels = picture.pixels
    if not pixels[:, 1:].size or pixels.size > 3 * _LARGEST:
        return None
    if (pixels[:, 1:] == pixels[:, :-1]).all(2).mean() <= _DRAWN_SHARE:
        return None
    name, options = _format(picture)
    said = (len(data) for data in (picture.icc, picture.exif, picture.xmp) if data)
    try:
        bytes_without_loss = _bytes(picture, name, options) + sum(said)
    except Exception:  # encoders raise nearly anything, and a hint is not worth the file that it is about
        return None
    if bytes_without_loss >= size_bytes:
        return None
    return f"this looks drawn, and as lossless {name} it takes {bytes_without_loss:,} bytes instead of {size_bytes:,}"


def _format(picture: Picture) -> tuple[str, dict[str, Any]]:
    """Return the format that is tried, and Pillow's options for it: WebP, or PNG where that is missing or too small."""
    if max(picture.pixels.shape[:2]) <= _LARGEST_WEBP_SIDE and features.check("webp"):
        return "WebP", {"lossless": True, "method": 2}
    return "PNG", {}


def _bytes(picture: Picture, name: str, options: dict[str, Any]) -> int:
    """Return the bytes of a picture's pixels and alpha."""
    stream, image = io.BytesIO(), to_pil(replace(picture, icc=None, exif=None, xmp=None))
    image.save(stream, name.upper(), **options)
    return stream.tell()
