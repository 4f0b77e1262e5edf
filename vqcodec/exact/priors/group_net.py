"""The integer network of one group of channels: an embedding of earlier groups and three dense layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vqcodec.errors import ModelError
from vqcodec.exact.priors import masking, passes
from vqcodec.exact.priors.integer_net import Dense, FloatArray
from vqcodec.exact.priors.linear import Linear

Arrays = dict[str, npt.NDArray[Any]]


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

    def run(self, phase: int, row: int, inputs: tuple[FloatArray, ...], count: int) -> FloatArray:
        """Return the output sums [count, 2n].

        `inputs` are what applies of: embeddings [count, 9 E], own inputs [count, offsets * n], roughness [count, n].
        """
        first = self.first[phase]
        hidden = first.activate(np.broadcast_to(first.sums(inputs, first.bias[row]), (count, len(first.shift))))
        hidden = self.second.activate(self.second.sums((hidden,), self.second.bias))
        return self.out.sums((hidden,), self.out.bias[row])


class _Taker:
    """Takes tensors by name and checks their shapes."""

    def __init__(self, arrays: Arrays, prefix: str) -> None:
        self.arrays, self.prefix = arrays, prefix

    def __call__(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        array = self.arrays[self.prefix + name]
        if array.shape != shape:
            raise ModelError(f"the model's {self.prefix}{name} has the shape {array.shape} instead of {shape}")
        return array
