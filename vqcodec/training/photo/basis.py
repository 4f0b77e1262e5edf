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
    values = 3 * BLOCK * BLOCK
    moment, total, count = torch.zeros(values, values, dtype=torch.float64), torch.zeros(values).double(), 0
    for _ in range(0, crops, 32):
        # In float64: sums over millions of blocks lose the small variances in float32.
        x = pictures.crops(generator, 32, 8 * BLOCK).cpu().double() * 255 - 127.5
        blocks = x.unfold(2, BLOCK, BLOCK).unfold(3, BLOCK, BLOCK).permute(0, 2, 3, 1, 4, 5).reshape(-1, values)
        moment += blocks.T @ blocks
        total += blocks.sum(0)
        count += len(blocks)
    mean = total / count
    covariance = moment / count - torch.outer(mean, mean)
    basis = _separable(_color_basis(covariance))
    variance = torch.einsum("ij,jk,ik->i", basis, covariance, basis)
    order = variance.argsort(descending=True)
    return basis[order].float().contiguous(), variance[order].clamp(min=SIGMA_FLOOR**2).sqrt().float()


def _color_basis(covariance: Tensor) -> Tensor:
    """Return the principal components [3, 3] of a pixel's colors by rows, for the covariance [768, 768] of blocks."""
    pixels = covariance.reshape(3, BLOCK * BLOCK, 3, BLOCK * BLOCK).diagonal(dim1=1, dim2=3).mean(2)
    components: Tensor = torch.linalg.eigh(pixels)[1].flip(1).T
    return components


def _separable(colors: Tensor) -> Tensor:
    """Return the products [768, 768], by rows, of a basis of colors [3, 3] and the DCT-II of rows and columns."""
    place = torch.arange(BLOCK, dtype=torch.float64)
    dct = torch.cos(math.pi / BLOCK * (place + 0.5) * place[:, None]) * math.sqrt(2 / BLOCK)
    dct[0] /= math.sqrt(2)
    return torch.kron(colors, torch.kron(dct, dct))
