"""Rate-aware assignment where every unit has a frequency table of its own.

The context prior gives each value of a unit a deviation class; the two classes choose the
tables of the unit's indices. Units that may lie beyond the codebook take a coarse index too.

Arrays are NumPy's in a codec and torch's in training, where they may lie on a GPU: only what both libraries call alike
is used, and the same lines choose for both.
"""

from __future__ import annotations

from functools import cached_property
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

Array = Any
"""An array of NumPy or of torch."""
# The costs of so many units under 256 codevectors are 1 MiB, which a core keeps in its own cache.
_BLOCK = 1024


class IndexCosts(NamedTuple):
    """What indices cost and which table codes which: classes are 0..S-1.

    costs: float32 [T, K] bits; fine: int64 [S, S, 2], the table of a fine index, last axis 1 where
    the unit's coarse index is not the zero codevector; coarse: int64 [S, S], -1 for units without.
    """

    costs: Array
    fine: Array
    coarse: Array


class UnitChoice(NamedTuple):
    """What is chosen for N units: indices int64 [N], coarse the zero codevector without one, and bits float32 [N]."""

    coarse: Array
    fine: Array
    bits: Array


class TableAssigner:
    """Chooses indices by squared error + weight * bits. codebook float32 [K, 2] holds zero exactly at `zero`."""

    def __init__(self, codebook: Array, scale: float, tables: IndexCosts, library: ModuleType = np) -> None:
        """`library` is that of the arrays, numpy or torch."""
        self.codebook, self.scale, self.tables, self.library = codebook, scale, tables, library
        self.square = _square(codebook)
        # The zero codevector is found by its length, since fitting and sorting may have moved it.
        self.zero = int(self.square.argmin())
        others = [k for k in range(len(codebook)) if k != self.zero]
        self.nearest_other = float(self.square[others].min()) ** 0.5
        self.factor = -2.0 * codebook.T
        self._last_penalty: tuple[float | None, Array] = None, None
        self.zero_bits = tables.costs[:, self.zero]
        self.least_other_bits = library.amin(tables.costs[:, others], 1)

    def decode(self, assigned: UnitChoice) -> Array:
        """Return the vectors float32 [N, 2] that indices stand for."""
        return self.scale * self.codebook[assigned.coarse] + self.codebook[assigned.fine]

    def assign(self, x: Array, classes: Array, weight: float) -> UnitChoice:
        """Return indices for units x float32 [N, 2] with classes int64 [N, 2]."""
        first, second = classes[:, 0], classes[:, 1]
        table, coarse_table = self.tables.fine[first, second, 0], self.tables.coarse[first, second]
        coarse = self.library.full_like(table, self.zero)
        fine = self.library.full_like(table, self.zero)
        # At low rates most units are surely zero, and two comparisons say so instead of K costs.
        busy = self._places(~self._surely_zero(x, table, weight))
        fine[busy] = self._cheapest(x[busy], self._penalty(weight), table[busy])
        bits = self.tables.costs[table, fine]
        wide = self._places(coarse_table >= 0)
        bits[wide] += self.tables.costs[coarse_table[wide], self.zero]
        # Half as far away as the nearest other coarse codevector, zero is the nearest.
        far = wide[_square(x[wide]) >= (self.scale * self.nearest_other / 2) ** 2]
        if len(far):
            near = UnitChoice(coarse[far], fine[far], bits[far])
            far_table = self.tables.fine[first[far], second[far], 1]
            other = self._beyond(x[far], (table[far], far_table, coarse_table[far]), weight)
            chosen = self._better(x[far], near, other, weight)
            coarse[far], fine[far], bits[far] = chosen
        return UnitChoice(coarse, fine, bits)

    def bits(self, coarse: Array, fine: Array, classes: Array) -> Array:
        """Return the bits [N] of indices [N] under classes [N, 2]; infinite where they cannot be written."""
        first, second = classes[:, 0], classes[:, 1]
        is_far, coarse_table = coarse != self.zero, self.tables.coarse[first, second]
        bits = self.tables.costs[self.tables.fine[first, second, is_far + 0], fine]
        wide = self.tables.costs[coarse_table.clip(0), coarse]
        # Where a unit is not wide, no coarse index is written, and only zero is what a decoder takes it for.
        wide[coarse_table < 0] = 0.0
        wide[is_far & (coarse_table < 0)] = float("inf")
        return bits + wide

    def class_slopes(self, coarse: Array, fine: Array, classes: Array) -> Array:
        """Return float32 [N, 2]: how the bits of indices [N] grow with each class of their units, of classes [N, 2].

        The mean difference to the two neighboring classes; a neighbor under which an index cannot be
        written, because there the unit is not wide, does not count.
        """
        slopes = self._near_slopes[classes[:, 0], classes[:, 1], fine]
        far = self._places(coarse != self.zero)
        if len(far):
            slopes[far] = self._slopes(coarse[far], fine[far], classes[far])
        return slopes

    @cached_property
    def _near_slopes(self) -> Array:
        """What class_slopes returns of all units whose coarse index is zero: float32 [S, S, K, 2]."""
        all_units = self.library.argwhere((self.tables.coarse >= -1)[:, :, None] & (self.square >= 0))
        fine = all_units[:, 2]
        slopes = self._slopes(self.library.full_like(fine, self.zero), fine, all_units[:, :2])
        return slopes.reshape(*self.tables.coarse.shape, len(self.square), 2)

    def _slopes(self, coarse: Array, fine: Array, classes: Array) -> Array:
        library, most = self.library, len(self.tables.coarse) - 1
        own, slopes = self.bits(coarse, fine, classes), self.tables.costs[0, 0] * classes
        for which in (0, 1):
            ends, spans = [], []
            for step in (-1, 1):
                near = classes + 0
                near[:, which] = (near[:, which] + step).clip(0, most)
                bits = self.bits(coarse, fine, near)
                is_there = library.isfinite(bits)
                ends.append(library.where(is_there, bits, own))
                spans.append(is_there * abs(near[:, which] - classes[:, which]))
            slopes[:, which] = (ends[1] - ends[0]) / (spans[0] + spans[1]).clip(1)
        return slopes

    def _places(self, mask: Array) -> Array:
        return self.library.argwhere(mask)[:, 0]

    def _surely_zero(self, x: Array, table: Array, weight: float) -> Array:
        """Whether no codevector but zero can win: even the nearest other at the least bits would cost more."""
        square = _square(x)
        gap = (self.nearest_other - self.library.sqrt(square)).clip(min=0)
        other = gap * gap + weight * self.least_other_bits[table]
        return (gap > 0) & (square + weight * self.zero_bits[table] <= other)

    def _penalty(self, weight: float) -> Array:
        """Return [T, K], what a codevector costs beside its product with a unit."""
        known, penalty = self._last_penalty
        if known != weight:
            penalty = self.square + weight * self.tables.costs
            # In one assignment, since several threads may ask.
            self._last_penalty = weight, penalty
        return penalty

    def _cheapest(self, x: Array, penalty: Array, table: Array) -> Array:
        """Return the index [N] of the least ||x - c||^2 and what the unit's row of penalty [T, K] adds."""
        index = self.library.empty_like(table)
        for start in range(0, len(x), _BLOCK):
            some = slice(start, start + _BLOCK)
            costs = x[some] @ self.factor
            costs += penalty[table[some]]
            index[some] = costs.argmin(1)
        return index

    def _beyond(self, x: Array, tables: tuple[Array, Array, Array], weight: float) -> UnitChoice:
        """Return the best choice with the nearest coarse codevector; tables of a fine index with zero, with another."""
        near_table, far_table, coarse_table = tables
        zeros = self.library.zeros_like(near_table)
        coarse = self._cheapest(x / self.scale, self.square[None], zeros)
        table = self.library.where(coarse == self.zero, near_table, far_table)
        fine = self._cheapest(x - self.scale * self.codebook[coarse], self._penalty(weight), table)
        return UnitChoice(coarse, fine, self.tables.costs[coarse_table, coarse] + self.tables.costs[table, fine])

    def _better(self, x: Array, one: UnitChoice, other: UnitChoice, weight: float) -> UnitChoice:
        """Return for each unit the choice that costs less."""
        costs = [_square(x - self.decode(choice)) + weight * choice.bits for choice in (one, other)]
        is_less = costs[1] < costs[0]
        return UnitChoice(*(self.library.where(is_less, b, a) for a, b in zip(one, other, strict=True)))


def _square(x: Array) -> Array:
    """Return the squared lengths [N] of vectors [N, 2]."""
    return x[:, 0] * x[:, 0] + x[:, 1] * x[:, 1]
