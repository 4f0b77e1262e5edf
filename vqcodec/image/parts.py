"""Parts of pictures: boxes cut out of them, and pictures made smaller."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from vqcodec.exact.bitstream.ancillary import Ancillary
from vqcodec.exact.bitstream.pixels import Overlay
from vqcodec.image.picture import Picture, picture_with

Pixels = npt.NDArray[np.uint8]
_LOBES = 3
"""Of Pillow's Lanczos kernel, on each side, in pixels of the larger spacing."""
_BAND = 1024
"""Rows that are resized at a time."""


def resized(pixels: Pixels, grid: tuple[int, int], box: tuple[float, float, float, float] | None = None) -> Pixels:
    """Return pixels uint8 [H, W], [H, W, 3], or with alpha [H, W, 4], at another height and width.

    box: left, upper, right and lower of what is meant, not always whole pixels; None for all.
    """
    if box is None and pixels.shape[:2] == grid:
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.array(image.resize(grid[::-1], Image.Resampling.LANCZOS, box))


def resized_in_bands(pixels: Pixels, grid: tuple[int, int], box: tuple[float, float, float, float]) -> Pixels:
    """Return what `resized` does, first along the rows and then along the columns, and in bands of rows.

    Pillow alone begins with what is quicker, so that values between are clamped elsewhere; and it holds pixels thrice.
    """
    left, upper, right, lower = box
    height, width = grid
    scale = (lower - upper) / height
    beside = math.ceil(_LOBES * max(scale, 1)) + 1
    out = np.empty((height, width, *pixels.shape[2:]), np.uint8)
    for top in range(0, height, _BAND):
        bottom = min(height, top + _BAND)
        first, last = upper + top * scale, upper + bottom * scale
        start = max(0, math.floor(first) - beside)
        band = pixels[start : math.ceil(last) + beside]
        band = resized(band, (len(band), width), (left, 0, right, len(band)))
        out[top:bottom] = resized(band, (bottom - top, width), (0, first - start, width, last - start))
    return out


def halved(pixels: Pixels) -> Pixels:
    """Return pixels uint8 [H, W, 3] at half the height and width, rounded up: the last of an odd side counts twice."""
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    height, width = pixels.shape[:2]
    return resized_in_bands(pixels, (height // 2, width // 2), (0, 0, width, height))


def part_with(pixels: Pixels, said: Ancillary, place: tuple[slice, slice]) -> Picture:
    """Return the picture of decoded pixels that show what is at `place` in a picture of which a file says this.

    Alpha becomes as large as the pixels. These have no weights by it: where it is 0, pixels that were encoded with loss
    have the colors of what is near; for others there is `weighted_part`. Color profile and metadata are those of the
    whole.
    """
    alpha = None if said.alpha is None else resized(said.alpha[place], pixels.shape[:2])
    return picture_with(pixels, replace(said, alpha=alpha))


def weighted_part(pixels: Pixels, said: Ancillary, place: tuple[slice, slice], grid: tuple[int, int]) -> Picture:
    """Return the same of pixels uint8 [h, w, 3] that show what is at `place`, made smaller to a height and width.

    Pillow weighs them by alpha: where it is 0, those that are stored without loss may be of any color.
    """
    if said.alpha is None or pixels.shape[:2] == grid:
        return part_with(resized(pixels, grid), said, place)
    both = resized(np.dstack([pixels, said.alpha[place]]), grid)
    return picture_with(both[..., :3], replace(said, alpha=both[..., 3]))


def laid_over(pixels: Pixels, overlay: Overlay, place: tuple[slice, slice]) -> Pixels:
    """Return pixels uint8 [h, w, 3], which show what is at `place` made smaller, with an overlay made smaller too."""
    alpha = overlay.drawn[place].astype(np.uint8) * np.uint8(255)
    both = resized(np.dstack([overlay.pixels[place], alpha]), pixels.shape[:2])  # Pillow weighs colors by alpha
    under = Image.fromarray(pixels).convert("RGBA")
    return np.array(Image.alpha_composite(under, Image.fromarray(both)).convert("RGB"))
