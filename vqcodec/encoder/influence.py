"""What latents say of later ones: how the cost of all others changes with each latent, through the context prior.

An index is chosen for its own error and bits. But the latent that a decoder has of it is also what the prior predicts
later ones from, and a better prediction saves bits there. This is the gradient of those costs, by going back through
the prior's networks with their integers as real numbers. Indices are nearly the best for what was predicted, so a small
change of a prediction changes a cost only directly and not through an index (the envelope theorem): the cost of a
latent is error^2 / weight + bits, which the mean changes by its error and the class by the difference of tables.

All latents are known here, so a phase is one batch, and no pass waits for the one before it.
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vqcodec.cores import in_parts
from vqcodec.encoder.by_table import TableAssigner
from vqcodec.encoder.choice import Latents
from vqcodec.exact.priors import ContextPrior, masking, passes
from vqcodec.exact.priors.integer_net import (
    ACTIVATION_MAX,
    FRACTION,
    FRACTION_BITS,
    SIXTEENTHS,
    Dense,
    normalize,
    to_deviation_class,
)
from vqcodec.exact.priors.linear import WEIGHT_BITS
from vqcodec.exact.priors.tables import Choice
from vqcodec.exact.priors.walk import Pass, by_place, schedule

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]
# Fewer places of a pass are not worth a thread of their own.
_LEAST = 96


class _Slopes(NamedTuple):
    """How costs in bits change with each mean, in steps, and with each deviation class: float32 [N, n]."""

    mean: Floats
    deviation_class: Floats


def influence(
    prior: ContextPrior, assigner: TableAssigner, choice: Choice, z: Latents, quality: float, weight: float
) -> Latents:
    """Return how many bits all others cost more for each step of a latent, float32 [d, h, w].

    choice: what was chosen for latents z float32 [d, h, w]; weight: what a bit counts against a squared error of one
    step^2. With masking, how busy places are expected to be stays as it is.
    """
    way, costs = _WayBack(prior, choice, quality), _cost_slopes(assigner, choice, z, weight)
    for number, steps in groupby(schedule(prior.groups, way.grid, way.row), attrgetter("group")):
        entered = _GroupWay(way, prior, number)
        for step in steps:
            entered.go(step, _Slopes(*(slopes[step.places, step.channels] for slopes in costs)))
        entered.leave()
    return way.found()


def _cost_slopes(assigner: TableAssigner, choice: Choice, z: Latents, weight: float) -> _Slopes:
    planes, classes = by_place(choice.indices).astype(np.int64), by_place(choice.classes).astype(np.int64)
    m = classes.shape[1] // 2
    coarse, fine, pairs = planes[:, :m].reshape(-1), planes[:, m:].reshape(-1), classes.reshape(-1, 2)
    by_class = assigner.class_slopes(coarse, fine, pairs).reshape(classes.shape)
    error = by_place(z) - by_place(choice.codes).astype(np.float32) / np.float32(SIXTEENTHS)
    return _Slopes(np.float32(-2 / weight) * error, by_class)


class _Seen:
    """Values [cells, n] that networks see at offsets from a place, and what comes back to them; a margin is zero."""

    def __init__(self, values: Floats, inside: Places, size: int) -> None:
        self.inside, self.values = inside, np.zeros((size, values.shape[1]), np.float32)
        self.values[inside] = values
        self._back = np.zeros_like(self.values)

    def gathered(self, rows: Places, offsets: Places) -> Floats:
        """Return what places see, [N, offsets * n]."""
        seen: Floats = self.values.take(rows[:, None] + offsets, 0).reshape(len(rows), -1)
        return seen

    def add(self, rows: Places, offsets: Places, slopes: Floats) -> None:
        """Let slopes by what `gathered` returned come back."""
        n = self.values.shape[1]
        for number, offset in enumerate(offsets):  # places at one offset differ, so that none is added twice at once
            self._back[rows + offset] += slopes[:, number * n : (number + 1) * n]

    @property
    def back(self) -> Floats:
        """What has come back [cells, n]."""
        return self._back[self.inside]


class _WayBack:
    """A grid of which all is known, and what has come back to its latents: as network inputs, and as they are."""

    def __init__(self, prior: ContextPrior, choice: Choice, quality: float) -> None:
        self.row, self.shape = prior.row(quality), choice.codes.shape
        self.grid = self.shape[1:]
        self.spread = prior.spread[self.row].astype(np.int64)
        self.inside = passes.padded(np.arange(self.grid[0] * self.grid[1]), self.grid[1])
        self.size = (self.grid[0] + 2 * passes.MARGIN) * (self.grid[1] + 2 * passes.MARGIN)
        self.known = np.zeros(self.size, np.bool_)
        self.known[self.inside] = True
        self.codes = by_place(choice.codes).astype(np.int64)
        self.inputs = normalize(self.codes, self.spread)
        self.to_inputs, self.to_latents = np.zeros_like(self.inputs), np.zeros_like(self.inputs)

    def found(self) -> Latents:
        """Return what has come back [d, h, w], in bits per step."""
        # A latent of one spread is an input of FRACTION; beyond their range inputs stay as they are.
        rise = np.float32(SIXTEENTHS * FRACTION) / self.spread.astype(np.float32)
        is_within = np.abs(self.codes) * FRACTION < (ACTIVATION_MAX + 0.5) * self.spread
        back = np.where(is_within, self.to_inputs * rise, 0) + self.to_latents
        return np.ascontiguousarray(back.T, np.float32).reshape(self.shape)


class _GroupWay:
    """The way back through the network of one group."""

    def __init__(self, way: _WayBack, prior: ContextPrior, number: int) -> None:
        self.way, self.group, self.net = way, prior.groups[number], prior.nets[number]
        self.most, channels = prior.deviation_classes - 1, self.group.channels
        self.own, self.latents = (self._seen(values[:, channels]) for values in (way.inputs, way.codes))
        if self.net.linear:
            self._exact = self.latents.values.astype(np.int64)
        self.embedded: _Seen | None = None
        if number:
            self._sums = self.net.embed.sums((way.inputs[:, : self.group.before],), self.net.embed.bias)
            self.embedded = self._seen(self.net.embed.activate(self._sums))

    def go(self, step: Pass, slopes: _Slopes) -> None:
        """Let the slopes of the costs of a pass come back to what it was predicted from."""
        rows, width = passes.padded(step.places, self.way.grid[1]), self.way.grid[1]
        offsets = passes.steps(self.group.pattern.phases[step.phase].offsets, width)
        seen = [(self.embedded, passes.steps(passes.AROUND, width))] if self.embedded is not None else []
        if len(offsets):
            seen.append((self.own, offsets))

        def back_of(part: slice) -> list[Floats]:
            inputs = [one.gathered(rows[part], around) for one, around in seen]
            if step.phase in self.net.linear:
                inputs.append(self._roughness(step.phase, rows[part], offsets))
            back = self._back(step.phase, tuple(inputs), _Slopes(*(values[part] for values in slopes)))
            return [back @ weight.T for weight in self.net.first[step.phase].weights[: len(seen)]]

        parts = in_parts(back_of, len(rows), _LEAST)
        for (one, around), *backs in zip(seen, *parts, strict=True):
            one.add(rows, around, np.concatenate(backs))
        if step.phase in self.net.linear:
            weight = self.net.linear[step.phase].weight.astype(np.float32) / np.float32(1 << WEIGHT_BITS)
            self.latents.add(rows, offsets, slopes.mean @ weight.T)

    def leave(self) -> None:
        """Hand on what has come back to the group's own latents, and to those before them."""
        way, group = self.way, self.group
        way.to_inputs[:, group.channels] += self.own.back
        way.to_latents[:, group.channels] += self.latents.back
        if self.embedded is not None:
            back = self.embedded.back * _rise(_scale(self.net.embed), self._sums)
            way.to_inputs[:, : group.before] += back @ self.net.embed.weights[0].T

    def _seen(self, values: npt.NDArray[np.generic]) -> _Seen:
        return _Seen(values.astype(np.float32), self.way.inside, self.way.size)

    def _roughness(self, phase: int, rows: Places, offsets: Places) -> Floats:
        near = rows[:, None] + offsets
        return self.net.linear[phase].predict(self._exact[near], self.way.known[near])[1]

    def _back(self, phase: int, inputs: tuple[Floats, ...], slopes: _Slopes) -> Floats:
        """Return slopes float32 [N, hidden] by the sums of the first layer for those by means and classes [N, n]."""
        net, row = self.net, self.way.row
        first, second, out = net.first[phase], net.second, net.out
        sums = np.broadcast_to(first.sums(inputs, first.bias[row]), (len(slopes.mean), len(first.shift)))
        inner = second.sums((first.activate(sums),), second.bias)
        classes = second.activate(inner) @ out.weights[0][:, net.n :] + out.bias[row, net.n :]
        scale = np.exp2(-(out.shift + FRACTION_BITS)).astype(np.float32)
        # Means are their sums times spreads. A class below the first or beyond the last is that one.
        by_mean: Floats = (
            scale[: net.n] * self.way.spread[self.group.channels].astype(np.float32) / np.float32(SIXTEENTHS)
        )
        by_class = _rise(scale[net.n :], classes, self.most)
        if net.usual is not None:
            expected = to_deviation_class(classes, out.shift[net.n :], self.most + 1)
            # An error counts as it is in the steps of its place, and a mean is scaled to these too.
            by_mean = by_mean * masking.factor(masking.finer_by(expected, int(net.usual[phase, row]))) ** 2
        at_output: Floats = np.concatenate([slopes.mean * by_mean, slopes.deviation_class * by_class], 1)
        at_inner: Floats = (at_output @ out.weights[0].T) * _rise(_scale(second), inner)
        back: Floats = (at_inner @ second.weights[0].T) * _rise(_scale(first), sums)
        return back


def _scale(layer: Dense) -> Floats:
    return np.exp2(-layer.shift).astype(np.float32)


def _rise(scale: Floats, sums: Floats, most: int = ACTIVATION_MAX) -> Floats:
    """Return how sums times a scale rise that are rounded to 0..most: by the scale, and not at all beyond it."""
    scaled = sums * scale
    return np.where((scaled >= -0.5) & (scaled < most + 0.5), scale, np.float32(0))
