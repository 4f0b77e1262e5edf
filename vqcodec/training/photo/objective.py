"""The rate-distortion loss of each stage: bits per pixel + lambda 255^2 MSE, or + losses for how pictures look."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vqcodec.losses import Weighted
from vqcodec.training.photo.source import refine_of
from vqcodec.training.photo.state import NOISE, SYNTHESIS, TrainingState
from vqcodec.training.photo.tilt import slope
from vqcodec.training.rate.contract import Seen

_REFERENCE_LAMBDA = 0.01
# Of the files of `perceptual` at qualities 1 to 60: l1 10 + structure + ssimulacra2 + 0.3 features falls by 1 / (15.5
# lambda^0.78) with each bit per pixel more. What holds bits still in training is three times as much (train/README.md).
_LOOKS_POWER = 0.78


class StepFigures(NamedTuple):
    """One batch: the loss to minimise, and for the log the hard rate and the distortion.

    objective: scalar; rate_bpp: bits per pixel of the quantised latents; mse: in grey
    levels squared; weighted: the mean of rate + distortion with the weights of the objective; usage [K].
    """

    objective: Tensor
    rate_bpp: float
    mse: float
    weighted: float
    usage: Tensor | None


def compute(state: TrainingState, x: Tensor, quality: Tensor, noise: torch.Generator) -> StepFigures:
    """Return the losses of pictures x [B, 3, H, W] in [0, 1] at qualities [B] in 1..100.

    Each picture's loss is scaled by sqrt(0.01 / lambda), so that all rates weigh alike
    relative to their own size.
    """
    weight = slope(state.network, quality, state.settings.tilt)
    scale = (_REFERENCE_LAMBDA / weight).sqrt()
    pixels = x.shape[2] * x.shape[3]
    seen = _seen(state, x, quality, noise)
    rate, hard = seen.rate / pixels, seen.bits / pixels
    y = state.network.synthesis(seen.z_q, quality).clamp(0, 1)  # as the decoder does
    mse = (y - x).square().mean((1, 2, 3)) * 255.0**2
    distortion = weight * mse if state.losses is None else _looks(state, state.losses, x, y, weight)
    objective = (scale * (rate + distortion)).mean() + state.settings.quantizer_weight * seen.loss
    logged = (scale * (hard + distortion.detach())).mean().item()
    return StepFigures(objective, hard.mean().item(), mse.mean().item(), logged, seen.usage)


def _seen(state: TrainingState, x: Tensor, quality: Tensor, noise: torch.Generator) -> Seen:
    if state.progress.stage == SYNTHESIS:
        with torch.no_grad():
            return state.rate.sent(x, quality, refine_of(state))
    if state.progress.stage == NOISE:
        return state.static.rounded(x, quality, noise)
    return state.rate.seen(x, quality, noise)


def _looks(state: TrainingState, losses: Weighted, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """Return what the losses of each picture are worth in bits per pixel [B], for the weights of squared errors [B]."""
    worth = state.settings.losses_weight * weight**_LOOKS_POWER
    return worth * torch.stack([losses(a[None], b[None])[0] for a, b in zip(x, y, strict=True)])
