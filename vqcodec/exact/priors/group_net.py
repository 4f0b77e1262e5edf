"""The integer network of one group of channels: an embedding of earlier groups and three dense layers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vqcodec.errors import ModelError
from vqcodec.exact.priors import masking, passes
from vqcodec.exact.priors.integer_net import BoolArray, Dense, FloatArray
from vqcodec.exact.priors.linear import Linear

Arrays = dict[str, npt.NDArray[Any]]


class Trace(NamedTuple):
    """What the networks went through in a pass, for the way back through them.

    first, second: bool [N, hidden], which activations of a layer changed with their sums; class_sums: float32 [N, n],
    the sums of which deviation classes were made.
    """

    first: BoolArray
    second: BoolArray
    class_sums: FloatArray

    def part(self, of: slice) -> Trace:
        """Return that of a part of the places."""
        return Trace(self.first[of], self.second[of], self.class_sums[of])


class IntegerGroupNet:
    """Layers of a group: embed (but for the first group), first per phase, second, out; and its linear predictions."""

    def __init__(self, of: passes.Group, shape: tuple[int, int, int], arrays: Arrays, masked: bool) -> None:
        """`shape` is (embed, hidden, rows); ModelError or KeyError where tensors do not fit."""
        embed, hidden, rows = shape
        self.group, self.n = of.number, of.n
        group, phases = of.number, of.pattern.phases
        take = _Taker(arrays, f"{group}.")
        self.usual: npt.NDArray[np.int64] | None = None
        if masked and not of.pattern.linear:
            self.usual = masking.check_usual(f"{group}.masking", take("masking", (len(phases), rows)))
        if group:
            weight = take("embed.weight", (of.before, embed))
            bias, shift = take("embed.bias", (embed,)), take("embed.shift", (embed,))
            self.embed = Dense.make(f"{group}.embed", (weight,), bias, shift)
        around = (take("around.weight", (len(passes.AROUND) * embed, hidden)),) if group else ()
        bias, shift = take("first.bias", (len(phases), rows, hidden)), take("first.shift", (hidden,))
        self.first = []
        self.linear: dict[int, Linear] = {}
        for p, phase in enumerate(phases):
            own: tuple[npt.NDArray[Any], ...] = ()
            if phase.offsets:
                own = (take(f"own.{p}.weight", (len(phase.offsets) * self.n, hidden)),)
            if phase.offsets and of.pattern.linear:
                own += (take(f"rough.{p}.weight", (self.n, hidden)),)
                weight = take(f"linear.{p}.weight", (len(phase.offsets) * self.n, self.n))
                self.linear[p] = Linear.make(f"{group}.linear.{p}", weight)
            # All that ends in one sum shares its shift: shifting parts of it apart would round more than once.
            self.first.append(Dense.make(f"{group}.first", around + own, bias[p], shift))
        self.second = Dense.make(
            f"{group}.second",
            (take("second.weight", (hidden, hidden)),),
            take("second.bias", (hidden,)),
            take("second.shift", (hidden,)),
        )
        self.out = Dense.make(
            f"{group}.out",
            (take("out.weight", (hidden, 2 * self.n)),),
            take("out.bias", (rows, 2 * self.n)),
            take("out.shift", (2 * self.n,)),
        )

    @property
    def bound(self) -> int:
        """The largest magnitude that any sum can reach."""
        layers = [*self.first, self.second, self.out] + ([self.embed] if self.group else [])
        return max(layer.bound for layer in layers)

    def run(
        self, phase: int, row: int, inputs: tuple[FloatArray, ...], count: int, trace: Trace | None = None
    ) -> FloatArray:
        """Return the output sums [count, 2n], and write what was gone through into a trace.

        `inputs` are what applies of: embeddings [count, 9 E], own inputs [count, offsets * n], roughness [count, n].
        """
        first, second = self.first[phase], self.second
        sums = np.broadcast_to(first.sums(inputs, first.bias[row]), (count, len(first.shift)))
        hidden = first.activate(sums, trace and trace.first)
        hidden = second.activate(second.sums((hidden,), second.bias), trace and trace.second)
        out = self.out.sums((hidden,), self.out.bias[row])
        if trace is not None:
            trace.class_sums[:] = out[:, self.n :]
        return out

    def new_trace(self, count: int) -> Trace:
        """Return a trace of so many places, to be written into."""
        first, second = (np.empty((count, len(layer.shift)), np.bool_) for layer in (self.first[0], self.second))
        return Trace(first, second, np.empty((count, self.n), np.float32))


class _Taker:
    """Takes tensors by name and checks their shapes."""

    def __init__(self, arrays: Arrays, prefix: str) -> None:
        self.arrays, self.prefix = arrays, prefix

    def __call__(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        array = self.arrays[self.prefix + name]
        if array.shape != shape:
            raise ModelError(f"the model's {self.prefix}{name} has the shape {array.shape} instead of {shape}")
        return array
