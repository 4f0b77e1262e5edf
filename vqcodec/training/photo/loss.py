"""The rate-distortion loss of each stage: bits per pixel + lambda 255^2 MSE, or + losses for how pictures look."""

from __future__ import annotations

import torch
from torch import Tensor

from vqcodec.losses import Weighted
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.photo.tilt import slope
from vqcodec.training.rate.contract import Seen
from vqcodec.training.stage import Batch, Loss

_REFERENCE_LAMBDA = 0.01
# Of the files of `perceptual` at qualities 1 to 60: l1 10 + structure + ssimulacra2 + 0.3 features falls by 1 / (15.5
# lambda^0.78) with each bit per pixel more. What holds bits still in training is three times as much (train/README.md).
_LOOKS_POWER = 0.78


def weighed(state: TrainingState, batch: Batch, y: Tensor, seen: Seen) -> Loss:
    """Return the loss of pictures y [B, 3, H, W]; the log has it, and the bits per pixel, as counted.

    Each picture's loss is scaled by sqrt(0.01 / lambda), so that all rates weigh alike
    relative to their own size.
    """
    x, pixels = batch.x, batch.x.shape[2] * batch.x.shape[3]
    weight = slope(state.network, batch.quality, state.settings.tilt)
    # Unscaled, high qualities would have nearly all of the gradient: their distortion counts a thousand times as much.
    scale = (_REFERENCE_LAMBDA / weight).sqrt()
    rate, hard = seen.rate / pixels, seen.bits / pixels
    y = y.clamp(0, 1)  # as the decoder does
    mse = (y - x).square().mean((1, 2, 3)) * 255.0**2
    distortion = weight * mse if state.losses is None else _looks(state, state.losses, x, y, weight)
    total = (scale * (rate + distortion)).mean() + state.settings.quantizer_weight * seen.loss
    # The log has what a file would take, not the differentiable stand-in.
    logged = (scale * (hard + distortion.detach())).mean().item()
    figures = {"loss": logged, "bpp": hard.mean().item(), "mse": mse.mean().item() / 255.0**2}
    return Loss(total, total.item(), figures, seen.usage)


def _looks(state: TrainingState, losses: Weighted, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """Return what the losses of each picture are worth in bits per pixel [B], for the weights of squared errors [B]."""
    worth = state.settings.losses_weight * weight**_LOOKS_POWER
    return worth * torch.stack([losses(a[None], b[None])[0] for a, b in zip(x, y, strict=True)])
