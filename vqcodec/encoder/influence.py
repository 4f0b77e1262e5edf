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
from vqcodec.encoder.choice import Latents, Sought
from vqcodec.exact.priors import ContextPrior, masking, passes
from vqcodec.exact.priors.group_net import Trace
from vqcodec.exact.priors.integer_net import (
    ACTIVATION_MAX,
    FRACTION,
    FRACTION_BITS,
    SIXTEENTHS,
    BoolArray,
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
    prior: ContextPrior, assigner: TableAssigner, sought: Sought, z: Latents, quality: float, weight: float
) -> Latents:
    """Return how many bits all others cost more for each step of a latent, float32 [d, h, w].

    sought: what was chosen for latents z float32 [d, h, w], and the traces of its passes; weight: what a bit counts
    against a squared error of one step^2. With masking, how busy places are expected to be stays as it is.
    """
    way, costs = _WayBack(prior, sought.choice, quality), _cost_slopes(assigner, sought.choice, z, weight)
    traces = iter(sought.kept)
    for number, steps in groupby(schedule(prior.groups, way.grid, way.row), attrgetter("group")):
        entered = _GroupWay(way, prior, number)
        for step in steps:
            entered.go(step, next(traces), _Slopes(*(slopes[step.places, step.channels] for slopes in costs)))
        entered.leave()
    return way.found()


def _cost_slopes(assigner: TableAssigner, choice: Choice, z: Latents, weight: float) -> _Slopes:
    planes, classes = by_place(choice.indices).astype(np.int64), by_place(choice.classes).astype(np.int64)
    m = classes.shape[1] // 2
    coarse, fine, pairs = planes[:, :m].reshape(-1), planes[:, m:].reshape(-1), classes.reshape(-1, 2)
    by_class = assigner.class_slopes(coarse, fine, pairs).reshape(classes.shape)
    error = by_place(z) - by_place(choice.codes).astype(np.float32) / np.float32(SIXTEENTHS)
    return _Slopes(np.float32(-2 / weight) * error, by_class)


class _Back:
    """What comes back to values [cells, n] that networks see at offsets from a place; in a margin it is lost."""

    def __init__(self, inside: Places, size: int, n: int) -> None:
        self._inside, self._slopes = inside, np.zeros((size, n), np.float32)

    def add(self, rows: Places, offsets: Places, slopes: Floats) -> None:
        """Let slopes [N, offsets * n] come back, by what places see."""
        n = self._slopes.shape[1]
        for number, offset in enumerate(offsets):  # places at one offset differ, so that none is added twice at once
            self._slopes[rows + offset] += slopes[:, number * n : (number + 1) * n]

    @property
    def found(self) -> Floats:
        """What has come back [cells, n]."""
        return self._slopes[self._inside]


class _WayBack:
    """A grid of which all is known, and what has come back to its latents: as network inputs, and as they are."""

    def __init__(self, prior: ContextPrior, choice: Choice, quality: float) -> None:
        self.row, self.shape = prior.row(quality), choice.codes.shape
        self.grid = self.shape[1:]
        self.spread = prior.spread[self.row].astype(np.int64)
        self._inside = passes.padded(np.arange(self.grid[0] * self.grid[1]), self.grid[1])
        self._size = (self.grid[0] + 2 * passes.MARGIN) * (self.grid[1] + 2 * passes.MARGIN)
        self._codes = by_place(choice.codes).astype(np.int64)
        self.inputs = normalize(self._codes, self.spread)
        self.to_inputs, self.to_latents = np.zeros_like(self.inputs), np.zeros_like(self.inputs)

    def back(self, n: int) -> _Back:
        """Return what is to come back to n values of each cell."""
        return _Back(self._inside, self._size, n)

    def found(self) -> Latents:
        """Return what has come back [d, h, w], in bits per step."""
        # A latent of one spread is an input of FRACTION; beyond their range inputs stay as they are.
        rise = np.float32(SIXTEENTHS * FRACTION) / self.spread.astype(np.float32)
        is_within = np.abs(self._codes) * FRACTION < (ACTIVATION_MAX + 0.5) * self.spread
        back = np.where(is_within, self.to_inputs * rise, 0) + self.to_latents
        return np.ascontiguousarray(back.T, np.float32).reshape(self.shape)


class _GroupWay:
    """The way back through the network of one group."""

    def __init__(self, way: _WayBack, prior: ContextPrior, number: int) -> None:
        self.way, self.group, self.net = way, prior.groups[number], prior.nets[number]
        self.most = prior.deviation_classes - 1
        self.own, self.latents = way.back(self.group.n), way.back(self.group.n)
        self.embedded = way.back(len(self.net.embed.shift)) if number else None

    def go(self, step: Pass, trace: Trace, slopes: _Slopes) -> None:
        """Let the slopes of the costs of a pass come back to what it was predicted from."""
        rows, width = passes.padded(step.places, self.way.grid[1]), self.way.grid[1]
        offsets = passes.steps(self.group.pattern.phases[step.phase].offsets, width)
        seen = [(self.embedded, passes.steps(passes.AROUND, width))] if self.embedded is not None else []
        if len(offsets):
            seen.append((self.own, offsets))

        def back_of(part: slice) -> list[Floats]:
            back = self._back(step.phase, trace.part(part), _Slopes(*(values[part] for values in slopes)))
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
        way.to_inputs[:, group.channels] += self.own.found
        way.to_latents[:, group.channels] += self.latents.found
        if self.embedded is not None:
            embed, before = self.net.embed, slice(group.before)
            sums = embed.sums((way.inputs[:, before],), embed.bias)
            follows = np.empty(sums.shape, np.bool_)
            embed.activate(sums, follows)
            way.to_inputs[:, before] += (self.embedded.found * _rise(embed, follows)) @ embed.weights[0].T

    def _back(self, phase: int, trace: Trace, slopes: _Slopes) -> Floats:
        """Return slopes float32 [N, hidden] by the sums of the first layer for those by means and classes [N, n]."""
        net, row = self.net, self.way.row
        first, second, out = net.first[phase], net.second, net.out
        scale = np.exp2(-(out.shift + FRACTION_BITS)).astype(np.float32)
        # Means are their sums times spreads. A class below the first or beyond the last is that one.
        by_mean: Floats = (
            scale[: net.n] * self.way.spread[self.group.channels].astype(np.float32) / np.float32(SIXTEENTHS)
        )
        expected = trace.class_sums * scale[net.n :]
        by_class = np.where((expected >= -0.5) & (expected < self.most + 0.5), scale[net.n :], np.float32(0))
        if net.usual is not None:
            classes = to_deviation_class(trace.class_sums, out.shift[net.n :], self.most + 1)
            # An error counts as it is in the steps of its place, and a mean is scaled to these too.
            by_mean = by_mean * masking.factor(masking.finer_by(classes, int(net.usual[phase, row]))) ** 2
        at_output: Floats = np.concatenate([slopes.mean * by_mean, slopes.deviation_class * by_class], 1)
        at_inner: Floats = (at_output @ out.weights[0].T) * _rise(second, trace.second)
        back: Floats = (at_inner @ second.weights[0].T) * _rise(first, trace.first)
        return back


def _rise(layer: Dense, follows: BoolArray) -> Floats:
    """Return how activations rise with their sums: by the layer's scale where they follow them, else not at all."""
    return np.where(follows, np.exp2(-layer.shift).astype(np.float32), np.float32(0))
