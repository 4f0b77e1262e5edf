"""The float parent of the context prior: the same network with gradients.

In float mode nothing is rounded. With `integer` set every weight, bias, activation, mean and
class is rounded as the integer network rounds it (straight-through gradients), so that what
trains is what the file format computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vqcodec.exact.bitstream.patterns import Offset
from vqcodec.exact.priors import passes
from vqcodec.exact.priors.integer_net import ACTIVATION_MAX, FRACTION, SIXTEENTHS
from vqcodec.training.rate import masking
from vqcodec.training.rate.context_group import KNOTS, FloatGroupNet
from vqcodec.training.rate.rounding import (
    activate,
    dense,
    fixed_point,
    round_bias,
    round_through,
    round_weight,
    shift_of,
)

CLASSES = 31
# 3 classes an octave: class 0 is an eighth of a step, class 30 is 128 steps.
CLASS_OF_ONE = 9
CLASSES_PER_OCTAVE = 3
# Without it a channel that is nearly always zero would have no spread to divide by.
_ROUNDING = 0.25


class FloatPrediction(NamedTuple):
    """What a pass says of its latents, each [N, n]: the mean in steps and the deviation class, not rounded.

    finer: int64 [N, 1], by how many classes steps of a place are finer than the group's own; None where all are those.
    """

    mean: Tensor
    deviation_class: Tensor
    finer: Tensor | None = None

    def of(self, some: Tensor) -> FloatPrediction:
        """Return that of some places, bool [N]."""
        finer = None if self.finer is None else self.finer[some]
        return FloatPrediction(self.mean[some], self.deviation_class[some], finer)

    def masked(self, usual: Tensor) -> FloatPrediction:
        """Return the same in steps that follow how busy places are, for a usual busyness int64 [N]."""
        finer = masking.finer_by(self.deviation_class, usual)
        classes = self.deviation_class + finer
        # Straight through, or a narrow channel of a busy place could not learn to be wider.
        classes = classes + (classes.clamp(0, CLASSES - 1) - classes).detach()
        return FloatPrediction(masking.scaled(self.mean, finer), classes, finer)

    def own_steps(self, latents: Tensor) -> Tensor:
        """Return latents [N, n] of the group's steps in those of their places."""
        return latents if self.finer is None else latents * masking.factors(self.finer).to(latents.dtype)

    def group_steps(self, latents: Tensor) -> Tensor:
        """Return latents [N, n] in steps of their places in the group's, whole sixteenths as a decoder has them."""
        return latents if self.finer is None else masking.scaled(latents, -self.finer)


class Neighbors(NamedTuple):
    """Latents in steps around N places, float64: `latents` [N, offsets, n], 0 where not `here` [N, offsets, 1].

    `filled` [N, offsets * n] has the mean of the others where one is not here.
    """

    latents: Tensor
    here: Tensor
    filled: Tensor


def deviation(deviation_class: Tensor) -> Tensor:
    """Return the deviation in steps that a deviation class stands for."""
    return torch.exp2((deviation_class - CLASS_OF_ONE) / CLASSES_PER_OCTAVE)


class ContextNet(nn.Module):
    """Predicts groups of channels pass by pass; see priors/passes.py for the order.

    `sizes` are the channels of the groups; `patterns` name their patterns; `masked` says whether steps follow how busy
    places are, once it is known how busy they usually are (`knows_usual`). The buffer `starts` int64 [groups] says
    from which row of qualities each is coded.
    """

    spread: Tensor
    starts: Tensor

    def __init__(
        self,
        sizes: tuple[int, ...],
        rows: int,
        embed: int = 128,
        hidden: int = 256,
        patterns: tuple[str, ...] | None = None,
        masked: bool = False,
    ) -> None:
        super().__init__()
        self.sizes, self.rows, self.embed, self.hidden = sizes, rows, embed, hidden
        self.patterns = passes.default_patterns(len(sizes)) if patterns is None else patterns
        self.integer, self.masked, self.knows_usual = False, masked, False
        self.register_buffer("spread", torch.full((rows, sum(sizes)), float(SIXTEENTHS)))
        self.register_buffer("starts", torch.zeros(len(sizes), dtype=torch.int64))
        groups = passes.make_groups(sizes, self.patterns, [0] * len(sizes))
        masked_rows = rows if masked else None
        self.nets = nn.ModuleList([FloatGroupNet(group, embed, hidden, masked_rows) for group in groups])

    def set_spread(self, deviations: Tensor, unsure: Tensor | float = 1.0) -> None:
        """Set the spread from deviations [rows, d] in steps, and start as a static prior.

        `unsure` [d] is the share of the deviations that linear predictions leave.
        """
        self.spread.copy_((deviations.square() + _ROUNDING).sqrt().mul(SIXTEENTHS).round())
        left = (deviations * unsure).clamp(min=1e-3)[_knot_rows(self.rows)]
        classes = CLASS_OF_ONE + CLASSES_PER_OCTAVE * torch.log2(left)
        with torch.no_grad():
            for biases, own in self._class_biases(classes):
                biases.copy_(own)

    @torch.no_grad()
    def scale_spread(self, factors: Tensor) -> None:
        """Expect latents that are `factors` [rows, d] times as large as before: spread and classes follow."""
        deviations = ((self.spread / SIXTEENTHS).square() - _ROUNDING).clamp(min=0).sqrt() * factors
        self.spread.copy_((deviations.square() + _ROUNDING).sqrt().mul(SIXTEENTHS).round())
        for biases, rise in self._class_biases(CLASSES_PER_OCTAVE * torch.log2(factors)[_knot_rows(self.rows)]):
            biases.add_(rise)

    def _class_biases(self, values: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the deviation classes [KNOTS, n] that each group starts from, and its part of values [KNOTS, d]."""
        for net, own in zip(self.nets, torch.split(values, list(self.sizes), 1), strict=True):
            assert isinstance(net, FloatGroupNet)
            yield net.bias_out[:, net.n :], own

    def rows_of(self, quality: Tensor) -> Tensor:
        """Return the rows int64 [B] that serve qualities [B], as priors.tables.table_row does."""
        return ((2 * quality).round().long() - 2).mul(self.rows - 1).add(99).div(198, rounding_mode="floor")

    def begin(self, batch: int, height: int, width: int, rows: Tensor) -> FloatWalk:
        """Start on latents [batch, d, height, width] of table rows int64 [batch]."""
        return FloatWalk(self, batch, height, width, rows)


class FloatWalk:
    """One batch on its way through the passes: the latents known so far, normalized and padded."""

    def __init__(self, net: ContextNet, batch: int, height: int, width: int, rows: Tensor) -> None:
        self.net, self.batch, self.height, self.width, self.rows = net, batch, height, width, rows
        self.plane = (height + 2 * passes.MARGIN) * (width + 2 * passes.MARGIN)
        self.knots = knot_weights(net.rows).to(rows.device)[rows]
        self.spread = net.spread[rows] / SIXTEENTHS
        self.known: list[Tensor] = []
        self.own = self.exact = torch.empty(0)
        self.embedded: Tensor | None = None
        self.inside = self._in_grids(torch.arange(height * width, device=rows.device))
        self.is_inside = torch.zeros(batch * self.plane, dtype=torch.bool, device=rows.device)
        self.is_inside[self.inside] = True

    def passes(self) -> Iterator[tuple[int, int, slice, Tensor]]:
        """Yield group, phase, the group's channels and its places [N / batch] in the flattened grid; none is empty."""
        for group in self.net.nets:
            assert isinstance(group, FloatGroupNet)
            self._enter(group)
            for phase in range(len(group.phases)):
                places = passes.positions(group.pattern, phase, self.height, self.width)
                if len(places):
                    yield group.group, phase, group.channels, torch.from_numpy(places).to(self.rows.device)
            self.known.append(self.own)

    def predict(self, group: int, phase: int, channels: slice, places: Tensor) -> FloatPrediction:
        """Return the prediction for the batch's latents at `places`, image by image, in the steps that they have."""
        expected, net = self.expect(group, phase, channels, places), self.net.nets[group]
        assert isinstance(net, FloatGroupNet)
        if net.usual is None or not self.net.knows_usual:
            return expected
        return expected.masked(self._per_image(net.usual[phase, self.rows], places))

    def expect(self, group: int, phase: int, channels: slice, places: Tensor) -> FloatPrediction:
        """Return the same in the group's own steps."""
        net: FloatGroupNet = self.net.nets[group]  # type: ignore[assignment]
        rows = self._in_grids(places)
        knots, integer = self.knots, self.net.integer
        shift = shift_of(net.first_weights(), net.bias_first, integer)
        first = self._per_image(round_bias(knots @ net.bias_first[phase], shift), places)
        if net.group:
            assert self.embedded is not None
            first = first + _gather(self.embedded, rows, passes.AROUND, self.width) @ round_weight(net.around, shift)
        own = net.own_of(phase)
        if own is not None:
            offsets = net.phases[phase].offsets
            first = first + _gather(self.own, rows, offsets, self.width) @ round_weight(own, shift)
        linear: Tensor | float = 0.0
        if (weights := net.linear_of(phase)) is not None:
            linear, roughness = self._linear(self.neighbors(group, phase, places), weights[0])
            first = first + roughness @ round_weight(weights[1], shift)
        hidden = activate(first, integer)
        hidden = activate(dense(hidden, net.second, net.bias_second, integer), integer)
        shift = shift_of([net.out], net.bias_out, integer)
        out = hidden @ round_weight(net.out, shift)
        out = out + self._per_image(round_bias(knots @ net.bias_out, shift), places)
        mean = out[:, : net.n] * self._per_image(self.spread[:, channels], places)
        deviation_class = out[:, net.n :]
        if integer:
            mean = round_through(mean * SIXTEENTHS) / SIXTEENTHS
            deviation_class = round_through(deviation_class)
        return FloatPrediction(mean + linear, deviation_class.clamp(0, CLASSES - 1))

    def neighbors(self, group: int, phase: int, places: Tensor) -> Neighbors:
        """Return what is known around the batch's latents at `places` of a group with linear predictions."""
        net: FloatGroupNet = self.net.nets[group]  # type: ignore[assignment]
        rows = self._in_grids(places)[:, None]
        around = rows + torch.from_numpy(passes.steps(net.phases[phase].offsets, self.width)).to(rows.device)
        latents, here = self.exact[around], self.is_inside[around][:, :, None]
        mean = torch.floor(SIXTEENTHS * latents.sum(1) / here.sum(1) + 0.5) / SIXTEENTHS
        return Neighbors(latents, here, torch.where(here, latents, mean[:, None]).flatten(1))

    def _linear(self, near: Neighbors, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the linear prediction [N, n] in steps, and the roughness [N, n], as priors/linear.py has them."""
        if self.net.integer:
            linear = round_through(near.filled @ fixed_point(weight).double() * SIXTEENTHS) / SIXTEENTHS
        else:
            linear = near.filled @ weight.double()
        # Detached: the roughness is to tell how sure the prediction is, not to change it.
        distances = torch.where(near.here, (near.latents - linear.detach()[:, None]).abs(), 0.0)
        distance = distances.sum(1) / near.here.sum(1)
        if self.net.integer:
            distance = torch.floor(distance * FRACTION + 0.5) / FRACTION
        return linear.float(), distance.clamp(max=ACTIVATION_MAX / FRACTION).float()

    def put(self, channels: slice, places: Tensor, latents: Tensor) -> None:
        """Make latents [N, n] in steps at `places` known."""
        x = latents / self._per_image(self.spread[:, channels], places)
        x = x * FRACTION
        if self.net.integer:
            x = round_through(x)
        x = x.clamp(-ACTIVATION_MAX, ACTIVATION_MAX) / FRACTION
        self.own = self.own.index_copy(0, self._in_grids(places), x)
        # Without gradient and in place: linear predictions learn from latents, not through them.
        if len(self.exact):
            self.exact[self._in_grids(places)] = latents.double()

    def _enter(self, net: FloatGroupNet) -> None:
        size = self.batch * self.plane
        if net.group:
            x = torch.cat([known[self.inside] for known in self.known], 1)
            e = activate(dense(x, net.embed, net.bias_embed, self.net.integer), self.net.integer)
            self.embedded = e.new_zeros(size, e.shape[1]).index_copy(0, self.inside, e)
        self.own = torch.zeros(size, net.n, device=self.spread.device)
        exact = size if net.pattern.linear else 0
        # Integers in sixteenths of a step, and sums of them, are exact in float64 as they are in the decoder.
        self.exact = torch.zeros(exact, net.n, dtype=torch.float64, device=self.spread.device)

    def _in_grids(self, places: Tensor) -> Tensor:
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


def knot_weights(rows: int) -> Tensor:
    """Return [rows, KNOTS], the weights of a piecewise linear function of the row."""
    position = torch.linspace(0, KNOTS - 1, rows)[:, None]
    return (1 - (position - torch.arange(KNOTS)).abs()).clamp(min=0)


def _gather(x: Tensor, rows: Tensor, offsets: tuple[Offset, ...], width: int) -> Tensor:
    places = rows[:, None] + torch.from_numpy(passes.steps(offsets, width)).to(rows.device)
    return x[places.reshape(-1)].reshape(len(rows), -1)
