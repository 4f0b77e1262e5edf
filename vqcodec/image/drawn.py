"""What is drawn: flat colors, lettering, screens, diagrams, which may take fewer bytes without loss than with it.

A picture is drawn as a whole, or has drawn parts beside its photographs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vqcodec.exact.bitstream import raw_lzma
from vqcodec.exact.bitstream.pixels import Overlay, pack_overlay
from vqcodec.image.alpha import filled
from vqcodec.image.parts import halved
from vqcodec.image.picture import Picture

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
_SHARE = 0.5
"""Of a drawn picture more pixels than this equal their left neighbor; of a photograph few do, burnt skies apart."""
_LARGEST = 1 << 24
"""Most pixels of a drawn picture: more would take some ten seconds without loss."""
_BLOCK = 16
"""Side of the blocks that are drawn or not; lettering fills smaller ones (docs/lab/drawn.md)."""
_COLORS = 64
"""Most colors of a drawn block. Soft photographs repeat pixels too, but have more."""
_CONTRAST = 64
"""Gray levels between the extremes of a channel of a block that is not flat; a flat one costs little as it is."""
_WORTH = 0.05
"""Share of blocks that must be drawn and not flat. Photographs, burnt skies too, have some 0.03 at most."""
_KEPT, _HOLE = 4, 7
"""Of a block and its eight neighbors so many must be drawn that it stays so, and that it becomes so. Where a block has
none that is drawn, there is a photograph."""


class Drawn(NamedTuple):
    """A picture's drawn parts, also as a file has them, and pixels uint8 [H, W, 3] without them, for indices."""

    overlay: Overlay
    packed: bytes
    under: Pixels


def coded_pixels(picture: Picture, drawn: Drawn | None, half: bool) -> Pixels:
    """Return the pixels uint8 [H, W, 3] that indices are chosen for; with `half` [h, w, 3] at half the size."""
    pixels = picture.pixels if drawn is None else drawn.under
    return halved(pixels) if half else pixels


def drawn_pixels(picture: Picture) -> Pixels | None:
    """Return what is seen of a drawn picture, uint8 [H, W, 3], or None where it is not drawn, or very large.

    Pixels of alpha 0, which nobody sees, get the color of the last one before them that is seen, row by row, so that
    nothing changes where what is seen ends; those before all others get that of the first.
    """
    pixels = picture.pixels
    if pixels.shape[1] < 2 or pixels.size > 3 * _LARGEST:
        return None
    if picture.alpha is not None and not picture.alpha.all():
        pixels = _continued(pixels, picture.alpha.ravel() > 0)
    return pixels if _repeats(pixels).mean() > _SHARE else None


def _repeats(pixels: Pixels) -> Mask:
    """Return which pixels [..., W, 3] equal their left neighbor, bool [..., W - 1]."""
    same = pixels[..., 1:, :] == pixels[..., :-1, :]
    # A tenth of the time of `all` over so short an axis.
    repeats: Mask = same[..., 0] & same[..., 1] & same[..., 2]
    return repeats


def _continued(pixels: Pixels, seen: npt.NDArray[np.bool_]) -> Pixels:
    """Return pixels uint8 [H, W, 3] of which each that is not seen, bool [H W], is like the last one that is."""
    places = np.where(seen, np.arange(len(seen), dtype=np.int32), np.int32(seen.argmax()))
    np.maximum.accumulate(places, out=places)
    return pixels.reshape(-1, 3)[places].reshape(pixels.shape)


def drawn_parts(picture: Picture) -> Drawn | None:
    """Return the parts of a picture that are drawn; None where they are hardly anything, or nearly all.

    A photograph of 64 x 64 pixels or more must be left. None too where the picture is very large, the parts have 2^16
    colors or more, or Python has no lzma. What nobody sees is no part of them. Under them lies what is near, blurred.
    """
    height, width = picture.pixels.shape[:2]
    if height * width > _LARGEST or min(height, width) < 3 * _BLOCK or not raw_lzma.is_there():
        return None
    drawn = _drawn_mask(picture.pixels)
    if drawn is None:
        return None
    left = ~drawn
    if picture.alpha is not None:
        drawn, left = drawn & (picture.alpha > 0), left & (picture.alpha > 0)
    overlay = Overlay(picture.pixels, drawn)
    packed = pack_overlay(overlay)
    return None if packed is None else Drawn(overlay, packed, filled(picture.pixels, left.astype(np.uint8)))


def _drawn_mask(pixels: Pixels) -> Mask | None:
    """Return which pixels [H, W, 3] lie in drawn blocks, bool [H, W]; None where hardly any do, or nearly all."""
    height, width = pixels.shape[:2]
    strips = [pixels[top : top + _BLOCK] for top in range(0, height, _BLOCK)]
    blocks = np.stack([_drawn_row(_blocks(strip)) for strip in strips])
    # Of most photographs this says it all, and contrasts would take twice as long.
    if blocks.mean() < _WORTH:
        return None
    contrasts = np.stack([_contrasts(_blocks(strip)) for strip in strips])
    if (blocks & contrasts).mean() < _WORTH:
        return None
    near = _near(blocks)
    blocks = blocks & (near >= _KEPT) | (near >= _HOLE)
    if _near(blocks).all():
        return None
    return blocks.repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1)[:height, :width]


def _blocks(rows: Pixels) -> Pixels:
    """Return the blocks uint8 [n, _BLOCK, _BLOCK, 3] of at most _BLOCK rows [h, W, 3], mirrored at their edges."""
    height, width = rows.shape[:2]
    rows = np.pad(rows, ((0, _BLOCK - height), (0, -width % _BLOCK), (0, 0)), mode="symmetric")
    return rows.reshape(_BLOCK, -1, _BLOCK, 3).swapaxes(0, 1)


def _drawn_row(blocks: Pixels) -> Mask:
    """Return which blocks [n, h, w, 3] are drawn, bool [n]."""
    drawn: Mask = _repeats(blocks).mean((1, 2)) > _SHARE
    colors = blocks[drawn].astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colors = np.sort(colors.reshape(len(colors), _BLOCK**2))
    drawn[drawn] = (colors[:, 1:] != colors[:, :-1]).sum(1) < _COLORS
    return drawn


def _contrasts(blocks: Pixels) -> Mask:
    """Return which blocks [n, h, w, 3] are not flat, bool [n]."""
    contrasts: Mask = np.ptp(blocks, axis=(1, 2)).max(1) >= _CONTRAST
    return contrasts


def _near(blocks: Mask) -> npt.NDArray[np.uint8]:
    """Return how many of each block [h, w] and its eight neighbors are drawn; what is beyond an edge is as the edge."""
    height, width = blocks.shape
    wide = np.pad(blocks, 1, mode="edge").astype(np.uint8)
    parts = [wide[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    counts: npt.NDArray[np.uint8] = np.sum(parts, axis=0, dtype=np.uint8)
    return counts
