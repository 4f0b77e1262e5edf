"""The block basis that the photo network starts from."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vqcodec.training.pictures.picture_set import PictureSet

BLOCK = 16
SIGMA_FLOOR = 0.5


def block_basis(pictures: PictureSet, generator: np.random.Generator, crops: int = 2048) -> tuple[Tensor, Tensor]:
    """Return the KLT of 16 x 16 x 3 blocks: basis float32 [768, 768] by rows, deviations [768] in grey levels.

    Rows are orthonormal and sorted by deviation, the largest first.
    """
    values = 3 * BLOCK * BLOCK
    moment = torch.zeros(values, values, dtype=torch.float64)
    total, count = torch.zeros(values, dtype=torch.float64), 0
    for _ in range(0, crops, 32):
        x = pictures.crops(generator, 32, 8 * BLOCK, 0.0).cpu().double() * 255 - 127.5
        blocks = x.unfold(2, BLOCK, BLOCK).unfold(3, BLOCK, BLOCK).permute(0, 2, 3, 1, 4, 5).reshape(-1, values)
        moment += blocks.T @ blocks
        total += blocks.sum(0)
        count += len(blocks)
    mean = total / count
    variance, vectors = torch.linalg.eigh(moment / count - torch.outer(mean, mean))
    order = torch.arange(values - 1, -1, -1)
    basis = vectors[:, order].T.float()
    return basis.contiguous(), variance[order].clamp(min=SIGMA_FLOOR**2).sqrt().float()
