"""The float parent of the context prior: the same network with gradients.

In float mode nothing is rounded. With `integer` set every weight, bias, activation, mean and
class is rounded as the integer network rounds it (straight-through gradients), so that what
trains is what the file format computes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vqcodec.exact.priors import passes
from vqcodec.exact.priors.integer_net import ACTIVATION_MAX, BOUND, FRACTION, SHIFT_MAX, SIXTEENTHS, WEIGHT_MAX

KNOTS = 6
CLASSES = 31
UNIT_CLASS = 9
CLASSES_PER_OCTAVE = 3
_ROUNDING = 0.25
# Rounding moves a weight by up to a half, so the sums of rounded weights may be a little larger.
_SUMS_SHARE = 0.9


class FloatPrediction(NamedTuple):
    """What a pass says of its latents, each [N, n]: the mean in steps and the class of deviation, not rounded."""

    mean: Tensor
    level: Tensor


def round_through(x: Tensor) -> Tensor:
    """Round half up, with the gradient of the identity."""
    return x + (torch.floor(x + 0.5) - x).detach()


def deviation(level: Tensor) -> Tensor:
    """Return the deviation in steps that a class stands for."""
    return torch.exp2((level - UNIT_CLASS) / CLASSES_PER_OCTAVE)


class ContextNet(nn.Module):
    """Predicts groups of channels pass by pass; see priors/passes.py for the order."""

    unit: Tensor

    def __init__(self, groups: tuple[int, ...], rows: int, embed: int = 128, hidden: int = 256) -> None:
        super().__init__()
        self.groups, self.rows, self.embed, self.hidden = groups, rows, embed, hidden
        self.integer = False
        self.register_buffer("unit", torch.full((rows, sum(groups)), float(SIXTEENTHS)))
        self.nets = nn.ModuleList([FloatGroupNet(g, groups, embed, hidden) for g in range(len(groups))])

    def set_unit(self, deviations: Tensor) -> None:
        """Set the scale of inputs and means from deviations [rows, d] in steps, and start as a static prior."""
        self.unit.copy_((deviations.square() + _ROUNDING).sqrt().mul(SIXTEENTHS).round())
        level = UNIT_CLASS + CLASSES_PER_OCTAVE * torch.log2(deviations.clamp(min=1e-3))[_knot_rows(self.rows)]
        with torch.no_grad():
            for levels, own in self._levels(level):
                levels.copy_(own)

    @torch.no_grad()
    def scale_unit(self, factors: Tensor) -> None:
        """Expect latents that are `factors` [rows, d] times as large as before: units and levels follow."""
        deviations = ((self.unit / SIXTEENTHS).square() - _ROUNDING).clamp(min=0).sqrt() * factors
        self.unit.copy_((deviations.square() + _ROUNDING).sqrt().mul(SIXTEENTHS).round())
        for levels, rise in self._levels(CLASSES_PER_OCTAVE * torch.log2(factors)[_knot_rows(self.rows)]):
            levels.add_(rise)

    def _levels(self, values: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the levels [KNOTS, n] that each group starts from, and its part of values [KNOTS, d]."""
        for net, own in zip(self.nets, torch.split(values, list(self.groups), 1), strict=True):
            assert isinstance(net, FloatGroupNet)
            yield net.bias_out[:, net.n :], own

    def rows_of(self, quality: Tensor) -> Tensor:
        """Return the rows int64 [B] that serve qualities [B], as priors.tables.table_row does."""
        return ((2 * quality).round().long() - 2).mul(self.rows - 1).add(99).div(198, rounding_mode="floor")

    def begin(self, batch: int, height: int, width: int, rows: Tensor) -> FloatWalk:
        """Start on latents [batch, d, height, width] of table rows int64 [batch]."""
        return FloatWalk(self, batch, height, width, rows)


class FloatGroupNet(nn.Module):
    """The network of one group of channels: embedding of earlier groups, three dense layers."""

    def __init__(self, group: int, groups: tuple[int, ...], embed: int, hidden: int) -> None:
        super().__init__()
        before, n = sum(groups[:group]), groups[group]
        self.group, self.n = group, n
        self.phases = passes.pattern_of(group).phases
        fan_in = (len(passes.AROUND) * embed if group else 0) + n * max(len(p.offsets) for p in self.phases)
        if group:
            self.embed = _weight(before, embed, before)
            self.bias_embed = nn.Parameter(torch.zeros(embed))
            self.around = _weight(len(passes.AROUND) * embed, hidden, fan_in)
        self.own = nn.ParameterList([_weight(len(p.offsets) * n, hidden, fan_in) for p in self.phases if p.offsets])
        self.bias_first = nn.Parameter(0.1 * torch.randn(len(self.phases), KNOTS, hidden))
        self.second = _weight(hidden, hidden, hidden)
        self.bias_second = nn.Parameter(torch.zeros(hidden))
        self.out = nn.Parameter(torch.zeros(hidden, 2 * n))
        self.bias_out = nn.Parameter(torch.zeros(KNOTS, 2 * n))

    def first_weights(self) -> list[Tensor]:
        """Return every matrix that ends in the first layer's sums; they share its shifts."""
        return ([self.around] if self.group else []) + list(self.own)

    def own_of(self, phase: int) -> Tensor | None:
        """Return the matrix for the group's own earlier phases; the first phase has none."""
        return self.own[phase - 1] if phase else None


class FloatWalk:
    """One batch on its way through the passes: the latents known so far, normalised and padded."""

    def __init__(self, net: ContextNet, batch: int, height: int, width: int, rows: Tensor) -> None:
        self.net, self.batch, self.height, self.width, self.rows = net, batch, height, width, rows
        self.plane = (height + 2 * passes.MARGIN) * (width + 2 * passes.MARGIN)
        self.knots = knot_weights(net.rows).to(rows.device)[rows]
        self.unit = net.unit[rows] / SIXTEENTHS
        self.known: list[Tensor] = []
        self.own = torch.empty(0)
        self.embedded: Tensor | None = None
        self.inside = self._spread(torch.arange(height * width, device=rows.device))

    def passes(self) -> Iterator[tuple[int, int, slice, Tensor]]:
        """Yield group, phase, the group's channels and its places [N / batch] in the flattened grid."""
        start = 0
        for group, n in enumerate(self.net.groups):
            self._enter(group, n)
            pattern = passes.pattern_of(group)
            for phase in range(len(pattern.phases)):
                places = passes.positions(pattern, phase, self.height, self.width)
                yield group, phase, slice(start, start + n), torch.from_numpy(places).to(self.rows.device)
            start += n
            self.known.append(self.own)

    def predict(self, group: int, phase: int, channels: slice, places: Tensor) -> FloatPrediction:
        """Return the prediction for the batch's latents at `places`, image by image."""
        net: FloatGroupNet = self.net.nets[group]  # type: ignore[assignment]
        rows = self._spread(places)
        knots, integer = self.knots, self.net.integer
        shift = _shift(net.first_weights(), net.bias_first, integer)
        first = self._per_image(_round_bias(knots @ net.bias_first[phase], shift), places)
        if net.group:
            assert self.embedded is not None
            first = first + _gather(self.embedded, rows, passes.AROUND, self.width) @ _round(net.around, shift)
        own = net.own_of(phase)
        if own is not None:
            offsets = net.phases[phase].offsets
            first = first + _gather(self.own, rows, offsets, self.width) @ _round(own, shift)
        hidden = _activate(first, integer)
        hidden = _activate(_dense(hidden, net.second, net.bias_second, integer), integer)
        shift = _shift([net.out], net.bias_out, integer)
        out = hidden @ _round(net.out, shift)
        out = out + self._per_image(_round_bias(knots @ net.bias_out, shift), places)
        mean = out[:, : net.n] * self._per_image(self.unit[:, channels], places)
        level = out[:, net.n :]
        if integer:
            mean = round_through(mean * SIXTEENTHS) / SIXTEENTHS
            level = round_through(level)
        return FloatPrediction(mean, level.clamp(0, CLASSES - 1))

    def put(self, channels: slice, places: Tensor, latents: Tensor) -> None:
        """Make latents [N, n] in steps at `places` known."""
        x = latents / self._per_image(self.unit[:, channels], places)
        x = x * FRACTION
        if self.net.integer:
            x = round_through(x)
        x = x.clamp(-ACTIVATION_MAX, ACTIVATION_MAX) / FRACTION
        self.own = self.own.index_copy(0, self._spread(places), x)

    def _enter(self, group: int, n: int) -> None:
        net: FloatGroupNet = self.net.nets[group]  # type: ignore[assignment]
        if group:
            x = torch.cat([known[self.inside] for known in self.known], 1)
            e = _activate(_dense(x, net.embed, net.bias_embed, self.net.integer), self.net.integer)
            self.embedded = e.new_zeros(self.batch * self.plane, e.shape[1]).index_copy(0, self.inside, e)
        self.own = torch.zeros(self.batch * self.plane, n, device=self.unit.device)

    def _spread(self, places: Tensor) -> Tensor:
        """Return where places of one grid lie in the batch's padded, flattened grids, image by image."""
        margin, row = passes.MARGIN, self.width + 2 * passes.MARGIN
        padded = (places // self.width + margin) * row + places % self.width + margin
        return (torch.arange(self.batch, device=places.device)[:, None] * self.plane + padded).reshape(-1)

    @staticmethod
    def _per_image(values: Tensor, places: Tensor) -> Tensor:
        return values.repeat_interleave(len(places), 0)


def _knot_rows(rows: int) -> Tensor:
    """Return the row [KNOTS] nearest to each knot."""
    return torch.linspace(0, rows - 1, KNOTS).round().long()


def _weight(inputs: int, outputs: int, fan_in: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(inputs, outputs) * math.sqrt(2 / fan_in))


def knot_weights(rows: int) -> Tensor:
    """Return [rows, KNOTS], the weights of a piecewise linear function of the row."""
    position = torch.linspace(0, KNOTS - 1, rows)[:, None]
    return (1 - (position - torch.arange(KNOTS)).abs()).clamp(min=0)


def _shift(weights: list[Tensor], bias: Tensor, integer: bool) -> Tensor | None:
    return shifts(weights, bias) if integer else None


def shifts(weights: list[Tensor], bias: Tensor) -> Tensor:
    """Return 2^shift of each output of matrices with one bias: as fine as int8 and the bound on the sums allow."""
    with torch.no_grad():
        largest = torch.stack([w.abs().amax(0) for w in weights]).amax(0)
        total = ACTIVATION_MAX * torch.stack([w.abs().sum(0) for w in weights]).sum(0)
        total = total + FRACTION * bias.abs().reshape(-1, bias.shape[-1]).amax(0)
        room = torch.minimum(WEIGHT_MAX / largest.clamp(min=1e-6), _SUMS_SHARE * BOUND / total.clamp(min=1e-6))
        return torch.exp2(room.log2().floor().clamp(0, SHIFT_MAX))


def _round(weight: Tensor, shift: Tensor | None) -> Tensor:
    return weight if shift is None else round_through(weight * shift) / shift


def _round_bias(bias: Tensor, shift: Tensor | None) -> Tensor:
    return bias if shift is None else round_through(bias * shift * FRACTION) / (shift * FRACTION)


def _dense(x: Tensor, weight: Tensor, bias: Tensor, integer: bool) -> Tensor:
    shift = _shift([weight], bias, integer)
    return x @ _round(weight, shift) + _round_bias(bias, shift)


def _activate(x: Tensor, integer: bool) -> Tensor:
    x = x * FRACTION
    if integer:
        x = round_through(x)
    return x.clamp(0, ACTIVATION_MAX) / FRACTION


def _gather(x: Tensor, rows: Tensor, offsets: tuple[passes.Offset, ...], width: int) -> Tensor:
    places = rows[:, None] + torch.from_numpy(passes.steps(offsets, width)).to(rows.device)
    return x[places.reshape(-1)].reshape(len(rows), -1)
