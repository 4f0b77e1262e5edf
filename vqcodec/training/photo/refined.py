"""Latents as the encoder's proximal steps would leave them, for a batch; see vqcodec/encoder/proximal.py for why."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from vqcodec.encoder.by_table import TableAssigner
from vqcodec.encoder.proximal import Scene, proximal_steps
from vqcodec.networks.photo import PhotoNetwork
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
    best, least = z, torch.full_like(quality, torch.inf)
    for latents, cost in proximal_steps(Scene(network, x, quality, z), z, lambda y: (y, *quantise(y)), steps):
        better = cost < least
        best = torch.where(better[:, None, None, None], latents, best)
        least = torch.where(better, cost, least)
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
