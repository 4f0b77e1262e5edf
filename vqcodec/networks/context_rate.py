"""What latents cost under the context prior while it trains, and what they become.

The choice of indices is the encoder's: nearest codevectors, bits counted. The gradient of the rate
is that of a logistic density around the predicted mean, on latents with uniform noise of the
area of a codebook cell (Balle et al. 2018); quantised latents pass gradients straight through.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vqcodec.networks.context import ContextNet, Prediction, deviation
from vqcodec.priors.integer_net import SIXTEENTHS
from vqcodec.quantizers.base import RATE_WEIGHT
from vqcodec.quantizers.by_table import TableAssigner

LOGISTIC_SCALE = math.sqrt(3) / math.pi
"""Scale of a logistic density of deviation 1."""
_PROBABILITY_FLOOR = 2.0**-30


class Coded(NamedTuple):
    """One batch: quantised latents [B, d, h, w], differentiable and counted bits [B] and [B], usage [K]."""

    z_q: Tensor
    soft_bits: Tensor
    hard_bits: Tensor
    usage: Tensor


def code(
    net: ContextNet,
    assigner: TableAssigner,
    z: Tensor,
    rows: Tensor,
    noise: torch.Generator,
    counts: Tensor | None = None,
) -> Coded:
    """Send latents z float32 [B, d, h, w] of table rows int64 [B] through the passes of a context prior.

    `counts` float32 [T, K] is added to: how often each table coded each index.
    """
    batch, d, height, width = z.shape
    flat = z.movedim(1, 3).reshape(batch, height * width, d)
    walk = net.begin(batch, height, width, rows)
    soft, hard = z.new_zeros(batch), z.new_zeros(batch)
    usage = z.new_zeros(len(assigner.codebook))
    groups: list[Tensor] = []
    for group, phase, channels, places in walk.passes():
        if phase == 0:
            groups.append(flat[:, :, channels])
        y = flat[:, places, channels].reshape(-1, channels.stop - channels.start)
        prediction = walk.predict(group, phase, channels, places)
        quantised, bits, used = _quantise(y.detach(), prediction, assigner, counts)
        hard, usage = hard + bits.reshape(batch, -1).sum(1), usage + used
        through = y + (quantised - y).detach()
        noisy = y + (torch.rand(y.shape, generator=noise, device=y.device) - 0.5) * assigner.cell_width
        soft = soft + _soft_bits(noisy, prediction, assigner).reshape(batch, -1).sum(1)
        walk.put(channels, places, through)
        groups[-1] = groups[-1].index_copy(1, places, through.reshape(batch, len(places), -1))
    z_q = torch.cat(groups, 2).reshape(batch, height, width, d).movedim(3, 1)
    return Coded(z_q, soft, hard, usage / usage.sum())


def _soft_bits(y: Tensor, prediction: Prediction, assigner: TableAssigner) -> Tensor:
    width = assigner.cell_width
    inverse = 1 / (deviation(prediction.level) * LOGISTIC_SCALE)
    # Mirrored to the lower tail, where the difference of two sigmoids keeps its precision.
    distance = -(y - prediction.mean).abs()
    upper, lower = (distance + width / 2) * inverse, (distance - width / 2) * inverse
    return -torch.log2(torch.sigmoid(upper) - torch.sigmoid(lower) + _PROBABILITY_FLOOR)


@torch.no_grad()
def _quantise(
    y: Tensor, prediction: Prediction, assigner: TableAssigner, counts: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y [N, n] as the decoder would have it, the bits of its units and how often each codevector was used."""
    mean = torch.floor(prediction.mean * SIXTEENTHS + 0.5) / SIXTEENTHS
    classes = torch.floor(prediction.level + 0.5).long()
    classes = classes.reshape(-1, 2)
    assigned = assigner.assign((y - mean).reshape(-1, 2), classes, RATE_WEIGHT)
    if counts is not None:
        assigner.count(assigned, classes, counts)
    used = torch.bincount(assigned.fine, minlength=len(assigner.codebook)).to(y.dtype)
    return mean + assigner.decode(assigned).reshape(mean.shape), assigned.bits, used
