"""Latents as the encoder's proximal steps would leave them, for a batch; see vqcodec/encoder/proximal.py for why."""

from __future__ import annotations

import torch
from torch import Tensor

from vqcodec.encoder.proximal import Scene, proximal_steps
from vqcodec.networks import RatedNetwork
from vqcodec.training.rate.contract import Quantize


def refined(network: RatedNetwork, x: Tensor, z: Tensor, quality: Tensor, quantize: Quantize, steps: int) -> Tensor:
    """Return latents [B, d, h, w] for pictures x [B, 3, H, W] at qualities [B] after proximal steps from z.

    Each picture's best are returned, by bits + lambda 255^2 MSE: a step may fail. They are to be quantized.
    """
    if not steps:
        return z
    best, least = z, torch.full_like(quality, torch.inf)
    for latents, cost in proximal_steps(Scene(network, x, quality, z), z, lambda y: (y, *quantize(y)), steps):
        better = cost < least
        best = torch.where(better[:, None, None, None], latents, best)
        least = torch.where(better, cost, least)
    return best
