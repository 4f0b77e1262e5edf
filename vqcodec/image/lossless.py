"""Pictures that were drawn and not photographed: without loss they may take fewer bytes than with it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, features

_DRAWN_SHARE = 0.5
"""Of a drawn picture more pixels than this equal their left neighbor; of a photograph few do, burnt skies apart."""
_LARGEST = 1 << 24
"""Most pixels that are tried: some ten seconds of WebP."""


def smaller_without_loss(pixels: npt.NDArray[np.uint8], size_bytes: int) -> str | None:
    """Return a sentence where lossless WebP, or PNG, of pixels uint8 [H, W, 3] has fewer than `size_bytes` bytes.

    Only drawn pictures are tried, so that photographs cost no time.
    """
    if not pixels[:, 1:].size or pixels.size > 3 * _LARGEST:
        return None
    if (pixels[:, 1:] == pixels[:, :-1]).all(2).mean() <= _DRAWN_SHARE:
        return None
    name, options = ("WebP", {"lossless": True, "method": 2}) if features.check("webp") else ("PNG", {})
    bytes_without_loss = _bytes(pixels, name, options)
    if bytes_without_loss >= size_bytes:
        return None
    return f"this looks drawn, and as lossless {name} it takes {bytes_without_loss:,} bytes instead of {size_bytes:,}"


def _bytes(pixels: npt.NDArray[np.uint8], name: str, options: dict[str, Any]) -> int:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, name.upper(), **options)
    return stream.tell()
