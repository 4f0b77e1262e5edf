"""Tables that adapt to a tile, of the reference decoder: what FORMAT.md says of them in section 5.7; and streams.

It needs NumPy and the standard library only. All arithmetic is that of 64-bit integers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt
from reference_rans import PRECISION, Integers, Rans, Table, make_table

NEIGHBORS: Final = ((0, 0, 4), (-1, 0, 1), (1, 0, 1), (0, -1, 1), (0, 1, 1))  # differences of classes, and a weight
TRUST: Final = 1920  # what a table that is all one symbol counts against the symbols of the tile
LEAST: Final = 4  # fewer symbols of a table in a list are coded with the model's own


class ModelTables:
    """The tables of a model, which stay as they are."""

    def __init__(self, tables: Integers, table_bits: int) -> None:
        self.tables, self.table_bits = tables, table_bits

    def table(self, number: int, _count: int) -> Table:
        """Left-cumulative sums at 24 bits of a table for so many symbols."""
        return make_table(self.tables[number], self.table_bits)

    def begin_group(self) -> None:
        """A group of channels begins."""

    def learn(self, i: Integers, j: Integers, coarse: Integers, fine: Integers) -> None:
        """A pass is decoded: classes and indices of its units, all [N, n / 2]."""


class AdaptiveTables(ModelTables):
    """The tables of one tile, which adapt to it."""

    def __init__(
        self, tables: Integers, table_bits: int, codebook16: Integers, maps: tuple[Integers, Integers], zero: int
    ) -> None:
        """`maps` are coarse_map [S, S], with -1 where no index is coded, and fine_map [S, S, 2]."""
        super().__init__(tables, table_bits)
        self.counts = np.zeros(tables.shape, np.int64)
        self.coarse_map, self.fine_map = maps
        self.zero = zero
        self.across, self.down = (mirror(codebook16, sign) for sign in ((-1, 1), (1, -1)))

    def begin_group(self) -> None:
        """What earlier groups have shown counts three eighths from here on."""
        self.counts = 3 * self.counts >> 3

    def learn(self, i: Integers, j: Integers, coarse: Integers, fine: Integers) -> None:
        """Count the symbols of a pass for the tables of their classes and of the classes around them."""
        last = len(self.coarse_map) - 1
        far = (coarse != self.zero).astype(np.int64)
        coded = self.coarse_map[i, j] >= 0
        for di, dj, weight in NEIGHBORS:
            near_i, near_j = (i + di).clip(0, last), (j + dj).clip(0, last)
            np.add.at(self.counts, (self.fine_map[near_i, near_j, far], fine), weight)
            numbers = self.coarse_map[near_i, near_j]
            counted = coded & (numbers >= 0)
            np.add.at(self.counts, (numbers[counted], coarse[counted]), weight)

    def table(self, number: int, count: int) -> Table:
        """Left-cumulative sums at 24 bits of a table for so many symbols, as it is now."""
        plain = super().table(number, count)
        if count < LEAST:
            return plain
        counts = self.counts[number]
        counts = counts + counts[self.across]
        counts = counts + counts[self.down]
        sums: list[int] = [0, *accumulate(counts.tolist())]
        trust = (TRUST << self.table_bits) // math.isqrt(int((self.tables[number] ** 2).sum()))
        K, whole = len(counts), 1 << PRECISION
        ends = [(trust * P + whole * A) // (trust + sums[-1]) for P, A in zip(plain, sums, strict=True)]
        return [k + (end * (whole - K) >> PRECISION) for k, end in enumerate(ends)]


@dataclass(frozen=True)
class Stream:
    """What a tile's indices come from: its stream, and the tables that its passes are coded with."""

    rans: Rans
    tables: ModelTables

    def units(self, numbers: Integers, coded: npt.NDArray[np.bool_], zero: int) -> Integers:
        """Indices [N, n / 2] coded with tables of these numbers [N, n / 2], by table; ZERO where not coded."""
        indices = np.full(numbers.shape, zero)
        for number in np.unique(numbers[coded]):
            members = coded & (numbers == number)
            count = int(members.sum())
            indices[members] = self.rans.decode(self.tables.table(int(number), count), count)
        return indices


def mirror(codebook16: Integers, sign: tuple[int, int]) -> Integers:
    """[K], the lowest number of the codevector with these signs of its two values changed, or its own."""
    vectors = [tuple(vector) for vector in codebook16.tolist()]
    wanted = [(sign[0] * a, sign[1] * b) for a, b in vectors]
    return np.array([vectors.index(other) if other in vectors else k for k, other in enumerate(wanted)])
