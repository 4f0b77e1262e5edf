"""A grid on its way through the passes of a context prior: what is known so far, and what it predicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from vqcodec.cores import in_parts
from vqcodec.exact.bitstream.patterns import Offset
from vqcodec.exact.priors import integer_net, masking, passes
from vqcodec.exact.priors.group_net import Trace
from vqcodec.exact.priors.integer_net import FloatArray
from vqcodec.exact.priors.tables import Choice, IntArray

if TYPE_CHECKING:
    from vqcodec.exact.priors.context import ContextPrior

T = TypeVar("T", bound=np.generic)
_LEAST = 96
"""Fewer places of a pass are not worth a thread of their own."""


_NONE: npt.NDArray[np.int64] = np.zeros(0, np.int64)


class Pass(NamedTuple):
    """One pass: its group, phase, channels and places [N] in the flattened grid."""

    group: int
    phase: int
    channels: slice
    places: npt.NDArray[np.int64]


class IntegerPrediction(NamedTuple):
    """What a pass says before its indices: means int32 [N, n] in sixteenths, deviation classes uint8 [N, n].

    finer: int64 [N], by how many classes steps of a place are finer than the group's own, or [0] where all are those.
    """

    mean: npt.NDArray[np.int32]
    deviation_class: npt.NDArray[np.uint8]
    finer: npt.NDArray[np.int64] = _NONE


class IntegerWalk:
    """One grid on its way through the passes: what is known so far.

    traces: what networks went through, pass by pass, or None where nobody asks.
    """

    def __init__(self, prior: ContextPrior, grid: tuple[int, int], row: int, traced: bool = False) -> None:
        self.prior, self.grid, self.row = prior, grid, row
        self.traces: list[Trace] | None = [] if traced else None
        self._spread = prior.spread[row].astype(np.int64)
        cells = grid[0] * grid[1]
        self._inside = passes.padded(np.arange(cells), grid[1])
        self._padded = (grid[0] + 2 * passes.MARGIN) * (grid[1] + 2 * passes.MARGIN)
        self._inputs = np.zeros((cells, 0), np.float32)
        self._own = self._embedded = np.zeros((0, 0), np.float32)
        self._exact = np.zeros((0, 0), np.int64)
        self._known = np.zeros(self._padded, np.bool_)
        self._known[self._inside] = True
        # Place by place, as passes write them; planes and channels come first in what is returned.
        self._indices = np.full((cells, prior.planes), prior.zero, np.uint16)
        self._classes = np.zeros((cells, prior.d), np.uint8)
        self._codes = np.zeros((cells, prior.d), np.int16)

    def steps(self, channels: int | None = None) -> Iterator[Pass]:
        """Yield the passes of all groups, or of those that hold the first channels.

        Before the next pass is asked for, `put` must have been called.
        """
        entered = 0
        groups = self.prior.groups if channels is None else passes.first_groups(self.prior.groups, channels)
        for step in schedule(groups, self.grid, self.row):
            while entered <= step.group:
                self._enter(self.prior.groups[entered])
                entered += 1
            yield step

    def predict(self, step: Pass) -> IntegerPrediction:
        """Return the means and classes of a pass."""
        count, trace = len(step.places), None
        if self.traces is not None:
            self.traces.append(trace := self.prior.nets[step.group].new_trace(count))

        def part_of(part: slice) -> IntegerPrediction:
            return self._predict(step._replace(places=step.places[part]), trace and trace.part(part))

        parts = in_parts(part_of, count, _LEAST)
        if len(parts) == 1:
            return parts[0]
        return IntegerPrediction(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _predict(self, step: Pass, trace: Trace | None) -> IntegerPrediction:
        net = self.prior.nets[step.group]
        n, shift, spread = net.n, net.out.shift, self._spread[step.channels]
        inputs, linear = self._inputs_of(step)
        out = net.run(step.phase, self.row, inputs, len(step.places), trace)
        mean, count = integer_net.to_mean(out[:, :n], shift[:n], spread, linear), self.prior.deviation_classes
        classes = integer_net.to_deviation_class(out[:, n:], shift[n:], count)
        if net.usual is None:
            return IntegerPrediction(mean, classes)
        finer = masking.finer_by(classes, int(net.usual[step.phase, self.row]))
        return IntegerPrediction(
            masking.scaled(mean, finer).astype(np.int32), masking.shifted(classes, finer, count), finer
        )

    def _inputs_of(self, step: Pass) -> tuple[tuple[FloatArray, ...], npt.NDArray[np.int64] | int]:
        """Return what the first layer sees, and the linear prediction; 0 where there is none."""
        rows = passes.padded(step.places, self.grid[1])
        offsets = self.prior.groups[step.group].pattern.phases[step.phase].offsets
        inputs, linear = [], self.prior.nets[step.group].linear.get(step.phase)
        if step.group:
            inputs.append(self._gather(self._embedded, rows, passes.AROUND))
        if offsets:
            inputs.append(self._gather(self._own, rows, offsets))
        if linear is None:
            return tuple(inputs), 0
        places = rows[:, None] + passes.steps(offsets, self.grid[1])
        predicted, roughness = linear.predict(self._exact[places], self._known[places])
        return (*inputs, roughness), predicted

    def put(self, step: Pass, prediction: IntegerPrediction, coarse: IntArray, fine: IntArray) -> None:
        """Make the indices [N * n / 2] of a pass known; they are laid out place by place."""
        prior, n = self.prior, prediction.mean.shape[1]
        codebook = prior.codebook.astype(np.int32)
        offset = (prior.scale * codebook).take(coarse, 0)
        offset += codebook.take(fine, 0)
        # Means are whole sixteenths, and so is the codebook: latents are exact without a rounding of their own.
        latents: IntArray = prediction.mean + offset.reshape(-1, n)
        if len(prediction.finer):
            latents = masking.scaled(latents, -prediction.finer)
        units = units_of(step.channels)
        half = prior.d // 2
        self._indices[step.places, units] = coarse.reshape(-1, n // 2)
        self._indices[step.places, half + units.start : half + units.stop] = fine.reshape(-1, n // 2)
        self._classes[step.places, step.channels] = prediction.deviation_class
        # What is beyond 2048 steps no picture needs, and a large one takes half the memory.
        self._codes[step.places, step.channels] = np.clip(latents, -32768, 32767)
        rows = passes.padded(step.places, self.grid[1])
        self._own[rows] = integer_net.normalize(latents, self._spread[step.channels])
        if len(self._exact):
            self._exact[rows] = latents

    def result(self) -> Choice:
        """Return what the passes have made known."""
        indices, classes, codes = self._indices, self._classes, self._codes
        return Choice(_by_plane(indices, self.grid), _by_plane(classes, self.grid), _by_plane(codes, self.grid))

    def _enter(self, group: passes.Group) -> None:
        """Start a group: the one before is complete and joins the inputs of the embedding."""
        if group.number:
            self._inputs = np.concatenate([self._inputs, self._own[self._inside]], 1)
        self._own = np.zeros((self._padded, group.n), np.float32)
        self._exact = np.zeros((self._padded if group.pattern.linear else 0, group.n), np.int64)
        if group.number and group.start <= self.row:
            embedding = self.prior.nets[group.number].embed
            self._embedded = np.zeros((self._padded, len(embedding.shift)), np.float32)
            self._embedded[self._inside] = embedding.activate(embedding.sums((self._inputs,), embedding.bias))

    def _gather(self, x: FloatArray, rows: IntArray, offsets: tuple[Offset, ...]) -> FloatArray:
        places = rows[:, None] + passes.steps(offsets, self.grid[1])
        gathered: FloatArray = x.take(places, 0).reshape(len(rows), -1)
        return gathered


def schedule(groups: tuple[passes.Group, ...], grid: tuple[int, ...], row: int) -> Iterator[Pass]:
    """Yield the passes over a grid (h, w) at a row of qualities, in decoding order; without those that are empty."""
    for group in groups:
        if group.start > row:
            continue
        for phase in range(len(group.pattern.phases)):
            places = passes.positions(group.pattern, phase, grid[0], grid[1])
            if len(places):
                yield Pass(group.number, phase, group.channels, places)


def by_place(planes: npt.NDArray[T]) -> npt.NDArray[T]:
    """Return arrays [planes, h, w] as [cells, planes], in which passes find their places next to each other."""
    places: npt.NDArray[T] = np.ascontiguousarray(planes.reshape(len(planes), -1).T)
    return places


def _by_plane(values: npt.NDArray[T], grid: tuple[int, int]) -> npt.NDArray[T]:
    """Return arrays [cells, planes] as [planes, h, w]."""
    planes: npt.NDArray[T] = np.ascontiguousarray(values.T).reshape(-1, *grid)
    return planes


def units_of(channels: slice) -> slice:
    """Return the units of two channels each that channels belong to."""
    return slice(channels.start // 2, channels.stop // 2)
