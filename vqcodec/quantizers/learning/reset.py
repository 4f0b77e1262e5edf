"""Codebook reset: codevectors that nothing chose for a while start again next to the most used one.

Williams et al. 2020: "Hierarchical Quantized Autoencoders" (HVQ-VAE).
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def move_beside(codebook: Tensor, moving: Tensor, used: int, deviation: float, generator: torch.Generator) -> None:
    """Put codevectors int64 [k] of a codebook [K, d_star], in place, beside the codevector `used`.

    Where most features are, another codevector is missed most; noise of the standard deviation keeps them apart.
    """
    away = torch.randn(len(moving), codebook.shape[1], generator=generator, device=codebook.device)
    codebook[moving] = codebook[used] + deviation * away
