"""The integer network of one group of channels: an embedding of earlier groups and three dense layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vqcodec.errors import ModelError
from vqcodec.exact.priors import passes
from vqcodec.exact.priors.integer_net import Dense, FloatArray

Arrays = dict[str, npt.NDArray[Any]]


class IntegerGroupNet:
    """Layers of group `group`: embed (but for the first group), first per phase, second, out."""

    def __init__(self, group: int, groups: tuple[int, ...], shape: tuple[int, int, int], arrays: Arrays) -> None:
        """`shape` is (embed, hidden, rows); ModelError or KeyError where tensors do not fit."""
        embed, hidden, rows = shape
        self.group, self.n = group, groups[group]
        take = _Taker(arrays, f"{group}.")
        phases = passes.pattern_of(group).phases
        if group:
            weight = take("embed.weight", (sum(groups[:group]), embed))
            bias, shift = take("embed.bias", (embed,)), take("embed.shift", (embed,))
            self.embed = Dense.make(f"{group}.embed", (weight,), bias, shift)
        around = (take("around.weight", (len(passes.AROUND) * embed, hidden)),) if group else ()
        bias, shift = take("first.bias", (len(phases), rows, hidden)), take("first.shift", (hidden,))
        self.first = []
        for p, phase in enumerate(phases):
            own = (take(f"own.{p}.weight", (len(phase.offsets) * self.n, hidden)),) if phase.offsets else ()
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

    def run(self, phase: int, row: int, around: FloatArray | None, own: FloatArray | None, count: int) -> FloatArray:
        """Return the output sums [count, 2n] for embeddings [count, 9 E] and own inputs [count, offsets * n]."""
        first = self.first[phase]
        inputs = tuple(x for x in (around, own) if x is not None)
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
