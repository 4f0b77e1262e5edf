"""What latents cost under the context prior while it trains, and what they become.

The choice of indices is the encoder's: the least of error / weight + bits, counted under the tables, with bits that
count less in the first groups for what they say of later ones. Since the index is nearly the best one, a small change
of the mean, the class or the latent changes that cost only directly and not through the index (the envelope theorem),
so the gradients here are those of what is counted: to the mean that of the error, to the class the difference between
neighboring tables. No density, no noise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vqcodec.choices import TRAINING_RATE_WEIGHT
from vqcodec.encoder.by_table import TableAssigner, UnitChoice
from vqcodec.encoder.context import shares_of_rate
from vqcodec.exact.priors.integer_net import SIXTEENTHS
from vqcodec.training.rate.context_net import ContextNet, FloatPrediction
from vqcodec.training.rate.contract import Seen
from vqcodec.training.rate.masking import factors

__all__ = ["Seen", "code", "count", "quantize"]


def code(net: ContextNet, assigner: TableAssigner, z: Tensor, rows: Tensor, counts: Tensor | None = None) -> Seen:
    """Send latents z float32 [B, d, h, w] of table rows int64 [B] through the passes of a context prior.

    The rate has the gradient of error / weight + bits to the prior. `counts` float32 [T, K] is added to: how
    often each table coded each index.
    """
    batch, d, height, width = z.shape
    flat = z.detach().movedim(1, 3).reshape(batch, height * width, d)
    walk, shares = net.begin(batch, height, width, rows), shares_of_rate(len(net.sizes))
    bits, usage = z.new_zeros(batch), z.new_zeros(len(assigner.codebook))
    groups: list[Tensor] = []
    steps = torch.ones_like(flat) if net.masked else None
    for group, phase, channels, places in walk.passes():
        if phase == 0:
            groups.append(flat[:, :, channels])
        coded = (net.starts[group] <= rows).repeat_interleave(len(places))
        y = flat[:, places, channels].reshape(-1, channels.stop - channels.start)
        quantized = torch.zeros_like(y)
        if coded.any():
            prediction = walk.predict(group, phase, channels, places).of(coded)
            own = prediction.own_steps(y[coded])
            chosen, assigned, classes = quantize(own, prediction, assigner, shares[group])
            quantized[coded] = prediction.group_steps(chosen)
            if steps is not None and prediction.finer is not None:
                steps[:, places, channels] = _spread_out(prediction.finer, coded, y).reshape(batch, len(places), -1)
            if counts is not None:
                count(assigner, assigned, classes, counts)
            usage = usage + torch.bincount(assigned.fine, minlength=len(usage)).to(z.dtype)
            # Units of a pass lie place by place, and places image by image: summing n / 2 of them gives one place.
            cost = assigned.bits.reshape(len(classes) // (y.shape[1] // 2), -1).sum(1)
            if torch.is_grad_enabled():
                by_class = assigner.class_slopes(assigned.coarse, assigned.fine, classes)
                change = _change(own - chosen, prediction, by_class)
                cost = cost + change.sum(1)
            bits = bits + z.new_zeros(len(y)).index_put((coded,), cost).reshape(batch, -1).sum(1)
        walk.put(channels, places, quantized)
        groups[-1] = groups[-1].index_copy(1, places, quantized.reshape(batch, len(places), -1))

    def grids(places: Tensor) -> Tensor:
        return places.reshape(batch, height, width, d).movedim(3, 1)

    z_q, scale = grids(torch.cat(groups, 2)), None if steps is None else grids(steps)
    return Seen(z_q, bits, bits.detach(), z.new_zeros(()), usage / usage.sum(), scale)


def _spread_out(finer: Tensor, coded: Tensor, y: Tensor) -> Tensor:
    """Return the steps of y [N, n] that one of the group's own holds, 1 where a place is not coded."""
    all_steps = torch.ones_like(y)
    all_steps[coded] = factors(finer).to(y.dtype).expand(-1, y.shape[1])
    return all_steps


def _change(error: Tensor, prediction: FloatPrediction, slopes: Tensor) -> Tensor:
    """Return zeros [N, n] with the gradients of the cost to means and classes."""
    mean, deviation_class = (part - part.detach() for part in prediction[:2])
    # 2 / weight times the error is the slope of error / weight; the values themselves cancel out to zero.
    return slopes.reshape(deviation_class.shape) * deviation_class - 2 / TRAINING_RATE_WEIGHT * error * mean


@torch.no_grad()
def quantize(
    y: Tensor, prediction: FloatPrediction, assigner: TableAssigner, share: float
) -> tuple[Tensor, UnitChoice, Tensor]:
    """Return y [N, n] as the decoder would have it, the indices of its units and their classes [N n / 2, 2].

    share: how much a bit counts of the rate weight.
    """
    mean = torch.floor(prediction.mean * SIXTEENTHS + 0.5) / SIXTEENTHS
    classes = torch.floor(prediction.deviation_class + 0.5).long().reshape(-1, 2)
    assigned = assigner.assign((y - mean).reshape(-1, 2), classes, TRAINING_RATE_WEIGHT * share)
    return mean + assigner.decode(assigned).reshape(mean.shape), assigned, classes


def count(assigner: TableAssigner, assigned: UnitChoice, classes: Tensor, counts: Tensor) -> None:
    """Add to counts float32 [T, K] how often each table coded each index, for units with classes int64 [N, 2]."""
    first, second = classes.unbind(1)
    coarse_table = assigner.tables.coarse[first, second]
    wide = coarse_table >= 0
    fine_table = assigner.tables.fine[first, second, (assigned.coarse != assigner.zero).long()]
    for table, index in ((fine_table, assigned.fine), (coarse_table[wide], assigned.coarse[wide])):
        counts += torch.bincount(table * counts.shape[1] + index, minlength=counts.numel()).reshape(counts.shape)
