"""Rate-aware assignment where every unit has a frequency table of its own.

The context prior gives each value of a unit a deviation class; the two classes choose the
tables of the unit's indices. Units that may lie beyond the codebook take a coarse index too.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vqcodec.quantizers.layout.assignment import assign

# The costs of so many units under 256 codevectors are 4 MiB.
_BLOCK = 4096


class IndexCosts(NamedTuple):
    """What indices cost and which table codes which: classes are 0..S-1.

    costs: float32 [T, K] bits; fine: int64 [S, S, 2], the table of a fine index, last axis 1 where
    the unit's coarse index is not the zero codevector; coarse: int64 [S, S], -1 for units without.
    """

    costs: Tensor
    fine: Tensor
    coarse: Tensor


class UnitChoice(NamedTuple):
    """What is chosen for N units: indices int64 [N], coarse the zero codevector without one, and bits float32 [N]."""

    coarse: Tensor
    fine: Tensor
    bits: Tensor


class TableAssigner:
    """Chooses indices by squared error + weight * bits. codebook float32 [K, 2] holds zero exactly at `zero`."""

    def __init__(self, codebook: Tensor, scale: float, tables: IndexCosts) -> None:
        self.codebook, self.scale, self.tables = codebook, scale, tables
        # The zero codevector is found by its length, since fitting and sorting may have moved it.
        norms = codebook.norm(dim=1)
        self.zero = int(norms.argmin())
        others = torch.arange(len(codebook), device=codebook.device) != self.zero
        self.nearest_other = float(norms[others].min())
        self.square = codebook.square().sum(1)
        self.factor = -2.0 * codebook.t().contiguous()
        self._penalties: dict[float, Tensor] = {}
        self.zero_bits = tables.costs[:, self.zero]
        self.least_other_bits = tables.costs[:, others].amin(1)

    def decode(self, assigned: UnitChoice) -> Tensor:
        """Return the vectors float32 [N, 2] that indices stand for."""
        vectors: Tensor = self.scale * self.codebook[assigned.coarse] + self.codebook[assigned.fine]
        return vectors

    def count(self, assigned: UnitChoice, classes: Tensor, counts: Tensor) -> None:
        """Add to counts float32 [T, K] how often each table coded each index, for units with classes int64 [N, 2]."""
        first, second = classes.unbind(1)
        coarse_table = self.tables.coarse[first, second]
        wide = coarse_table >= 0
        fine_table = self.tables.fine[first, second, (assigned.coarse != self.zero).long()]
        for table, index in ((fine_table, assigned.fine), (coarse_table[wide], assigned.coarse[wide])):
            counts += torch.bincount(table * counts.shape[1] + index, minlength=counts.numel()).reshape(counts.shape)

    @torch.no_grad()
    def slopes(self, assigned: UnitChoice, classes: Tensor) -> Tensor:
        """Return float32 [N, 2]: how the bits of the same indices grow with each class of their units.

        The mean difference to the two neighboring classes; a neighbor under which an index cannot be
        written, because there the unit is not wide, does not count.
        """
        most = len(self.tables.coarse) - 1
        result = torch.empty(classes.shape, device=classes.device)
        for which in (0, 1):
            step = torch.tensor([1 - which, which], device=classes.device)
            lower, upper = (classes - step).clamp(min=0), (classes + step).clamp(max=most)
            cheap, dear = self._bits(assigned, lower), self._bits(assigned, upper)
            # A class at the end of the range or without a neighbor has a difference to one side only.
            span = torch.isfinite(cheap).float() * (classes - lower)[:, which]
            span = span + torch.isfinite(dear).float() * (upper - classes)[:, which]
            cheap, dear = (torch.where(torch.isfinite(bits), bits, assigned.bits) for bits in (cheap, dear))
            result[:, which] = (dear - cheap) / span.clamp(min=1)
        return result

    def _bits(self, assigned: UnitChoice, classes: Tensor) -> Tensor:
        """Return the bits [N] of indices under other classes [N, 2]; infinite where they cannot be written."""
        first, second = classes.unbind(1)
        is_far = assigned.coarse != self.zero
        coarse_table = self.tables.coarse[first, second]
        fine = self.tables.costs[self.tables.fine[first, second, is_far.long()], assigned.fine]
        coarse = self.tables.costs[coarse_table.clamp(min=0), assigned.coarse]
        narrow = torch.where(is_far, torch.inf, 0.0)
        return fine + torch.where(coarse_table >= 0, coarse, narrow)

    def assign(self, x: Tensor, classes: Tensor, weight: float) -> UnitChoice:
        """Return indices for units x float32 [N, 2] with classes int64 [N, 2]."""
        first, second = classes.unbind(1)
        table = self.tables.fine[first, second, 0]
        coarse_table = self.tables.coarse[first, second]
        fine = torch.full((len(x),), self.zero, device=x.device)
        coarse, bits = fine.clone(), self.zero_bits[table].clone()
        wide = coarse_table >= 0
        # At low rates most units are surely zero, and two comparisons say so instead of K costs.
        busy = torch.nonzero(~wide & ~self._surely_zero(x, table, weight)).flatten()
        fine[busy], _ = self._cheapest(x[busy], table[busy], weight)
        bits[busy] = self.tables.costs[table[busy], fine[busy]]
        places = torch.nonzero(wide).flatten()
        if len(places):
            far = self.tables.fine[first[places], second[places], 1]
            some = self._wide(x[places], table[places], far, coarse_table[places], weight)
            coarse[places], fine[places], bits[places] = some
        return UnitChoice(coarse, fine, bits)

    def _surely_zero(self, x: Tensor, table: Tensor, weight: float) -> Tensor:
        """Whether no codevector but zero can win: even the nearest other at the least bits would cost more."""
        norm = x.norm(dim=1)
        other = (self.nearest_other - norm).clamp(min=0).square() + weight * self.least_other_bits[table]
        sure: Tensor = (norm < self.nearest_other) & (norm.square() + weight * self.zero_bits[table] <= other)
        return sure

    def _penalty(self, weight: float) -> Tensor:
        if weight not in self._penalties:
            self._penalties = {weight: self.square + weight * self.tables.costs}
        return self._penalties[weight]

    def _cheapest(self, x: Tensor, table: Tensor, weight: float) -> tuple[Tensor, Tensor]:
        """Return the cheapest index [N] and its cost [N]."""
        index = torch.empty(len(x), dtype=torch.int64, device=x.device)
        cost = torch.empty(len(x), device=x.device)
        penalty = self._penalty(weight)
        for start in range(0, len(x), _BLOCK):
            some = slice(start, start + _BLOCK)
            costs = torch.addmm(penalty[table[some]], x[some], self.factor)
            least, index[some] = costs.min(1)
            cost[some] = least + x[some].square().sum(1)
        return index, cost

    def _wide(self, x: Tensor, near: Tensor, far: Tensor, coarse_table: Tensor, weight: float) -> UnitChoice:
        """Choose coarse and fine together among two coarse candidates: zero, and the nearest codevector."""
        zero = torch.full_like(near, self.zero)
        nearest = assign((x / self.scale)[None], self.codebook)[1][0]
        best: tuple[Tensor, ...] = ()
        for coarse, table in ((zero, near), (nearest, torch.where(nearest == self.zero, near, far))):
            fine, cost = self._cheapest(x - self.scale * self.codebook[coarse], table, weight)
            bits = self.tables.costs[coarse_table, coarse]
            cost = cost + weight * bits
            bits = bits + self.tables.costs[table, fine]
            found = (coarse, fine, bits, cost)
            best = tuple(torch.where(cost < best[3], a, b) for a, b in zip(found, best, strict=True)) if best else found
        return UnitChoice(*best[:3])
