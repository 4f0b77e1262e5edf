"""Drawn pictures: flat colors, lettering, screens, diagrams, which may take fewer bytes without loss than with it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vqcodec.image.picture import Picture

Pixels = npt.NDArray[np.uint8]
_SHARE = 0.5
"""Of a drawn picture more pixels than this equal their left neighbor; of a photograph few do, burnt skies apart."""
_LARGEST = 1 << 24
"""Most pixels of a drawn picture: more would take some ten seconds without loss."""


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
    return pixels if (pixels[:, 1:] == pixels[:, :-1]).all(2).mean() > _SHARE else None


def _continued(pixels: Pixels, seen: npt.NDArray[np.bool_]) -> Pixels:
    """Return pixels uint8 [H, W, 3] of which each that is not seen, bool [H W], is like the last one that is."""
    places = np.where(seen, np.arange(len(seen), dtype=np.int32), np.int32(seen.argmax()))
    np.maximum.accumulate(places, out=places)
    return pixels.reshape(-1, 3)[places].reshape(pixels.shape)
