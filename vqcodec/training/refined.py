"""Latents as the encoder's search would leave them, for a batch; see vqcodec/refine.py for why."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vqcodec.networks.photo import GREY_LEVELS, PhotoNetwork, rate_lambda
from vqcodec.quantizers.base import RATE_WEIGHT

Quantise = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Latents [B, d, h, w] -> what the decoder would have of them, and their bits [B]."""


def refined(network: PhotoNetwork, x: Tensor, z: Tensor, quality: Tensor, quantise: Quantise, steps: int) -> Tensor:
    """Return latents [B, d, h, w] for pictures x [B, 3, H, W] at qualities [B] after proximal steps from z.

    Each picture's best are returned, by bits + lambda 255^2 MSE: a step may fail. They are to be quantised.
    """
    if not steps:
        return z
    weight = rate_lambda(quality) * GREY_LEVELS**2 * x.shape[2] * x.shape[3]
    best, least = z, torch.full_like(weight, torch.inf)
    for _ in range(steps + 1):
        with torch.no_grad():
            z_q, bits = quantise(z)
        with torch.enable_grad():
            z_q = z_q.detach().requires_grad_(True)
            error = weight * (network.synthesis(z_q, quality).clamp(0, 1) - x).square().mean((1, 2, 3))
            (gradient,) = torch.autograd.grad(error.sum(), z_q)
        better = bits + error.detach() < least
        best = torch.where(better[:, None, None, None], z, best)
        least = torch.where(better, bits + error.detach(), least)
        z = z_q.detach() - RATE_WEIGHT / 2 * gradient
    return best
