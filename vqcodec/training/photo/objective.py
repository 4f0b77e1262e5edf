"""The rate-distortion loss of each stage: bits per pixel + lambda 255^2 MSE, or + losses for how pictures look."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vqcodec.encoder.static import encode_by_class
from vqcodec.losses import Weighted
from vqcodec.quantizers.layout.settings import RATE_WEIGHT
from vqcodec.training.photo.refined import code_refined, refined
from vqcodec.training.photo.state import NOISE, SYNTHESIS, TrainingState
from vqcodec.training.photo.tilt import slope
from vqcodec.training.rate.context_rate import code
from vqcodec.training.rate.density import bits, rate_aware_round

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
    usage: Tensor | None
    if state.progress.stage == SYNTHESIS:
        with torch.no_grad():
            z_q, hard_bits, usage = _quantise_frozen(state, x, quality)
        rate, loss = hard_bits / pixels, torch.zeros((), device=x.device)
        hard = rate
    else:
        if state.context is None or state.progress.stage == NOISE:
            z_q, rate, hard, loss, usage = _latents(state, x, quality, noise)
        else:
            z_q, rate, hard, loss, usage = _context_latents(state, x, quality)
        rate, hard = rate / pixels, hard / pixels
    y = state.network.synthesis(z_q, quality).clamp(0, 1)  # as the decoder does
    mse = (y - x).square().mean((1, 2, 3)) * 255.0**2
    distortion = weight * mse if state.losses is None else _looks(state, state.losses, x, y, weight)
    objective = (scale * (rate + distortion)).mean() + state.settings.quantizer_weight * loss
    logged = (scale * (hard + distortion.detach())).mean().item()
    return StepFigures(objective, hard.mean().item(), mse.mean().item(), logged, usage)


def _looks(state: TrainingState, losses: Weighted, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """Return what the losses of each picture are worth in bits per pixel [B], for the weights of squared errors [B]."""
    worth = state.settings.losses_weight * weight**_LOOKS_POWER
    return worth * torch.stack([losses(a[None], b[None])[0] for a, b in zip(x, y, strict=True)])


def _latents(
    state: TrainingState, x: Tensor, quality: Tensor, noise: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """Return what the synthesis gets, its differentiable and its real bits [B], the quantizer's loss and usage."""
    network, density = state.network, state.density
    gain, z = network.gain(quality), network.analysis(x, quality)
    classes = density.classify(z.detach(), gain.detach())
    cells = density.cells(classes, gain)
    class_bits = density.class_bits(classes).sum((1, 2))
    uniform = torch.rand(z.shape, generator=noise, device=z.device) - 0.5
    rate = bits(z + uniform, cells).sum((1, 2, 3)) + class_bits
    if state.progress.stage == NOISE:
        integers, hard_bits = rate_aware_round(z.detach(), cells)
        hard = (hard_bits.sum((1, 2, 3)) + class_bits).detach()
        return z + (integers - z).detach(), rate, hard, torch.zeros((), device=x.device), None
    indices, hard = _assign(state, z.detach(), quality, classes)
    quantized = state.quantizer(z, indices)
    return quantized.z_q, rate, (hard + class_bits).detach(), quantized.loss, quantized.usage


def _context_latents(
    state: TrainingState, x: Tensor, quality: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """Return the same as _latents, under the context prior.

    The analysis learns where the encoder's search would move its latents: to their quantised values, less
    a step against the gradient of the picture's error (encoder/proximal.py). For that its rate is the distance
    to those values in bits, and the picture's error passes straight through. Gains learn nothing from it.
    """
    assert state.context is not None
    gain = state.network.gain(quality)
    z = state.network.analysis(x, quality) / gain * gain.detach()
    coded = code(state.context, state.assigner(), z, state.context.rows_of(quality))
    pull = (z - coded.z_q).square().sum((1, 2, 3)) / RATE_WEIGHT
    rate, hard = coded.bits + pull, coded.bits.detach()
    return z + (coded.z_q - z).detach(), rate, hard, torch.zeros((), device=x.device), coded.usage


def _quantise_frozen(state: TrainingState, x: Tensor, quality: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if state.context is not None:
        coded = code_refined(state, state.assigner(), x, quality)
        return coded.z_q, coded.bits, coded.usage
    z, steps = state.network.analysis(x, quality), state.settings.refine_steps
    classes = state.density.classify(z, state.network.gain(quality))
    z = refined(state.network, x, z, quality, lambda y: _restore(state, y, quality, classes), steps)
    indices, hard = _assign(state, z, quality, classes)
    bits_of_all = hard + state.density.class_bits(classes).sum((1, 2))
    return state.quantizer.decode(indices), bits_of_all, state.quantizer.usage_of(indices)


def _restore(state: TrainingState, z: Tensor, quality: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    indices, bits = _assign(state, z, quality, classes)
    return state.quantizer.decode(indices), bits


@torch.no_grad()
def _assign(state: TrainingState, z: Tensor, quality: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return rate-aware indices [B, P, h', w'] and their bits [B] under the tables at hand."""
    assert state.prior is not None
    indices, costs = [], []
    for b, q in enumerate(quality.tolist()):
        table = torch.from_numpy(state.prior.table_costs[state.prior.table_map[state.prior.row(q)]]).to(z.device)
        index = encode_by_class(state.quantizer, z[b : b + 1], table, classes[b : b + 1])
        indices.append(index)
        costs.append(_bits(table, index[0], classes[b], state.quantizer.settings.grid_factor))
    return torch.cat(indices), torch.stack(costs)


def _bits(table: Tensor, indices: Tensor, classes: Tensor, factor: int) -> Tensor:
    member = classes.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
    planes = torch.arange(len(indices), device=indices.device)[:, None, None]
    return table[member, planes, indices].sum()
