"""Latents as the encoder's search would leave them, for a batch; see vqcodec/refine.py for why."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vqcodec.networks.photo import GREY_LEVELS, PhotoNetwork, rate_lambda
from vqcodec.quantizers.base import RATE_WEIGHT


def refined(
    network: PhotoNetwork, x: Tensor, z: Tensor, quality: Tensor, quantise: Callable[[Tensor], Tensor], steps: int
) -> Tensor:
    """Return latents [B, d, h, w] for pictures x [B, 3, H, W] at qualities [B] after proximal steps from z.

    `quantise` gives the latents that the decoder would have. What is returned is to be quantised.
    """
    weight = rate_lambda(quality) * GREY_LEVELS**2 * x.shape[2] * x.shape[3]
    for _ in range(steps):
        with torch.no_grad():
            z_q = quantise(z)
        with torch.enable_grad():
            z_q = z_q.detach().requires_grad_(True)
            error = (network.synthesis(z_q, quality).clamp(0, 1) - x).square().mean((1, 2, 3))
            (gradient,) = torch.autograd.grad((weight * error).sum(), z_q)
        z = z_q.detach() - RATE_WEIGHT / 2 * gradient
    return z
