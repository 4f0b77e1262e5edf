"""What a finished model does to pictures that it was not trained on, in real files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch import Tensor

from vqcodec.choices import DEFAULT_QUALITY
from vqcodec.codec import Codec
from vqcodec.exact.indices import PictureChoice
from vqcodec.exact.model_file import Arrays, Metadata
from vqcodec.scores import psnr_db
from vqcodec.training.pictures.picture_set import PictureSet

# A photograph of a camera has 20 megapixels, which would take longer than a short run.
_SIDE = 768
_MOST = 4
# What people can look at, at a rate at which JPEG is good.
_USEFUL_DB, _USEFUL_BPP = 24.0, 2.0


class Figures(NamedTuple):
    """Mean PSNR in dB and bits per pixel of the .vqc files of so many `pictures` at the usual quality and effort.

    held_out: whether the pictures were not trained on; bpp is of whole files.
    """

    psnr_db: float
    bpp: float
    pictures: int
    held_out: bool

    def __str__(self) -> str:
        noun = "picture" if self.pictures == 1 else "pictures"
        place = "held out" if self.held_out else "that it was trained on, since none was held out"
        figures = f"{self.psnr_db:.2f} dB at {self.bpp:.3f} bpp in the files of {self.pictures} {noun} {place}"
        return "; ".join([figures, *self._needs()])

    def _needs(self) -> Iterator[str]:
        """Yield what a model needs that is of little use."""
        if self.psnr_db < _USEFUL_DB:
            yield f"below {_USEFUL_DB:g} dB: it needs more time, or a method that learns faster, such as looc or rq"
        if self.bpp > _USEFUL_BPP:
            yield f"above {_USEFUL_BPP:g} bpp: it needs fewer units (-m) or codevectors (-K)"


def shown(pictures: PictureSet) -> PictureSet:
    """Return what is measured of a set: the middle, of at most 768 x 768 pixels, of four pictures spread over it."""
    there = pictures.pictures
    count = min(_MOST, len(there))
    return PictureSet([_middle(there[(2 * i + 1) * len(there) // (2 * count)]) for i in range(count)])


def coded(codec: Codec, picture: Tensor, quality: float) -> tuple[PictureChoice, float, float]:
    """Return what a picture uint8 [3, H, W] is as a file: its indices, bits per pixel, and PSNR in dB."""
    pixels = picture.permute(1, 2, 0).cpu().numpy()
    encoded = codec.encode(pixels, quality)
    bpp = 8 * len(codec.pack(encoded)) / (pixels.shape[0] * pixels.shape[1])
    return encoded, bpp, psnr_db(pixels, codec.decode(encoded))


def measure(metadata: Metadata, arrays: Arrays, pictures: PictureSet, held_out: bool) -> Figures:
    """Return the figures of a model on what is `shown` of pictures."""
    codec = Codec(metadata, arrays)
    found = [coded(codec, picture, DEFAULT_QUALITY)[1:] for picture in shown(pictures).pictures]
    bpp, psnr_db = (float(np.mean(values)) for values in zip(*found, strict=True))
    return Figures(psnr_db, bpp, len(found), held_out)


def _middle(picture: Tensor) -> Tensor:
    top, left = (max(0, side - _SIDE) // 2 for side in picture.shape[1:])
    return picture[:, top : top + _SIDE, left : left + _SIDE]
