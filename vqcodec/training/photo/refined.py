"""Latents as the encoder's proximal steps would leave them, for a batch; see vqcodec/encoder/proximal.py for why."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from vqcodec.encoder.by_table import TableAssigner
from vqcodec.encoder.proximal import distortion, step_sizes
from vqcodec.networks.photo import GREY_LEVELS, PhotoNetwork
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.rate.context_rate import Seen, code

Quantise = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Latents [B, d, h, w] -> what the decoder would have of them, and their bits [B]."""


def refined(network: PhotoNetwork, x: Tensor, z: Tensor, quality: Tensor, quantise: Quantise, steps: int) -> Tensor:
    """Return latents [B, d, h, w] for pictures x [B, 3, H, W] at qualities [B] after proximal steps from z.

    Each picture's best are returned, by bits + lambda 255^2 MSE: a step may fail. They are to be quantised.
    """
    if not steps:
        return z
    weight = network.rate_lambda(quality) * GREY_LEVELS**2 * x.shape[2] * x.shape[3]
    step_size = step_sizes(network, quality)
    best, least = z, torch.full_like(weight, torch.inf)
    for _ in range(steps + 1):
        with torch.no_grad():
            z_q, bits = quantise(z)
        error, gradient = distortion(network, x, z_q, quality, weight)
        better = bits + error < least
        best = torch.where(better[:, None, None, None], z, best)
        least = torch.where(better, bits + error, least)
        z = z_q.detach() - step_size * gradient
    return best


def code_refined(
    state: TrainingState,
    assigner: TableAssigner,
    x: Tensor,
    quality: Tensor,
    counts: Tensor | None = None,
) -> Seen:
    """Send pictures x [B, 3, H, W] at qualities [B] through the context prior as the encoder's proximal steps would."""
    assert state.context is not None
    quantise = partial(code, state.context, assigner, rows=state.context.rows_of(quality))

    def decoded(latents: Tensor) -> tuple[Tensor, Tensor]:
        coded = quantise(latents)
        return coded.z_q, coded.bits

    z = state.network.analysis(x, quality)
    z = refined(state.network, x, z, quality, decoded, state.settings.refine_steps)
    return quantise(z, counts=counts)
