"""The block basis that the photo network starts from: a DCT over space times the KLT of the three colors.

The principal components of whole blocks would seem the better choice and are not: behind the first few dozen their
variances are nearly equal, so that they are any rotation of one another, and a random rotation spreads an edge over
many of them. Photographs are not Gaussian; a basis in which an edge touches few components costs 8 % fewer bits.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from vqcodec.training.pictures.picture_set import PictureSet

BLOCK = 16
# Half a gray level: what 8-bit pixels cannot hold is rounding noise, and dividing by it would blow it up.
SIGMA_FLOOR = 0.5


def block_basis(pictures: PictureSet, generator: np.random.Generator, crops: int = 2048) -> tuple[Tensor, Tensor]:
    """Return the basis of 16 x 16 x 3 blocks: float32 [768, 768] by rows, and deviations [768] in gray levels.

    Rows are orthonormal and sorted by deviation on the pictures, the largest first.
    """
    dct, count = _dct(), 0
    moment, total = torch.zeros(BLOCK * BLOCK, 3, 3).double(), torch.zeros(BLOCK * BLOCK, 3).double()
    for _ in range(0, crops, 32):
        # In float64: sums over millions of blocks lose the small variances in float32.
        x = pictures.crops(generator, 32, 8 * BLOCK).cpu().double() * 255 - 127.5
        blocks = dct @ x.unfold(2, BLOCK, BLOCK).unfold(3, BLOCK, BLOCK) @ dct.T
        components = blocks.permute(4, 5, 0, 2, 3, 1).reshape(BLOCK * BLOCK, -1, 3)
        moment += components.mT @ components
        total += components.sum(1)
        count += components.shape[1]
    mean = total / count
    covariance = moment / count - mean[:, :, None] * mean[:, None, :]
    # The DCT keeps sums of squares, so the mean over its components is that over the pixels of a block.
    colors = torch.linalg.eigh(covariance.mean(0))[1].flip(1).T
    variance = torch.einsum("ac,kce,ae->ak", colors, covariance, colors).flatten()
    order = variance.argsort(descending=True)
    basis = torch.kron(colors, torch.kron(dct, dct))
    return basis[order].float().contiguous(), variance[order].clamp(min=SIGMA_FLOOR**2).sqrt().float()


def _dct() -> Tensor:
    """Return the DCT-II of rows or columns, float64 [16, 16] by rows."""
    place = torch.arange(BLOCK, dtype=torch.float64)
    dct = torch.cos(math.pi / BLOCK * (place + 0.5) * place[:, None]) * math.sqrt(2 / BLOCK)
    dct[0] /= math.sqrt(2)
    return dct
