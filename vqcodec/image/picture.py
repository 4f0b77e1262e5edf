"""A picture as the codec sees it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from vqcodec.errors import InputError
from vqcodec.exact.bitstream.ancillary import Ancillary


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels uint8 [H, W, 3], what else is kept of a picture, and sentences on what was not kept.

    icc: the ICC profile, or None for sRGB. alpha: uint8 [H, W], 0 transparent to 255 opaque, not multiplied into the
    pixels, or None where every pixel is opaque. exif: a TIFF structure without the prefix `Exif`, its orientation 1;
    xmp: an XMP packet; or None. InputError for alpha of another size than the pixels.
    """

    pixels: npt.NDArray[np.uint8]
    icc: bytes | None = None
    notes: tuple[str, ...] = ()
    alpha: npt.NDArray[np.uint8] | None = None
    exif: bytes | None = None
    xmp: bytes | None = None

    def __post_init__(self) -> None:
        if self.alpha is not None and self.alpha.shape != self.pixels.shape[:2]:
            raise InputError(f"alpha of shape {self.alpha.shape} is not that of pixels {self.pixels.shape}")

    @cached_property
    def is_gray(self) -> bool:
        """Whether red, green and blue are equal everywhere."""
        red, green, blue = (self.pixels[..., channel] for channel in range(3))
        return bool(np.array_equal(red, green) and np.array_equal(red, blue))

    @cached_property
    def ancillary(self) -> Ancillary:
        """What a file holds of it besides indices; packed once for all files that are made to find the right one."""
        return Ancillary(self.icc, self.is_gray, self.alpha, self.exif, self.xmp)


def picture_with(pixels: npt.NDArray[np.uint8], said: Ancillary) -> Picture:
    """Return the picture of decoded pixels uint8 [H, W, 3] and what its file says of it; a gray one is made gray."""
    return Picture(_as_gray(pixels) if said.is_gray else pixels, said.icc, (), said.alpha, said.exif, said.xmp)


def _as_gray(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return pixels uint8 [H, W, 3] whose channels are all the rounded mean of the three.

    The original's channels were equal, so each is an estimate of the same value, none better than the others.
    """
    means = (pixels.sum(axis=2, dtype=np.uint16) + np.uint16(1)) // np.uint16(3)
    return np.repeat(means.astype(np.uint8)[..., None], 3, axis=2)
