"""Frequency tables that adapt to a tile: each pass is coded with what the passes before it have shown.

A context prior's tables are the same for every picture. Beside each of them stands how often every symbol was coded
with it in this tile, and both together make the table of the next pass: (N frequencies + counts) / (N + number of
counts).
A symbol counts for the tables of neighboring deviation classes too, and so do the mirror images of its codevector,
since few symbols of a tile share a table; what earlier groups of channels have shown counts less.

bitstream/FORMAT.md, "Context prior: tables that adapt", is the law. How much this brings: docs/lab/photo-2.md.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vqcodec.exact.bitstream import rans
from vqcodec.exact.priors.tables import FrequencyTables, IntArray, Tables

_NEIGHBORS = ((0, 0, 4), (-1, 0, 1), (1, 0, 1), (0, -1, 1), (0, 1, 1))
"""Differences of a unit's two classes, and what a symbol counts for the tables of such classes."""
_TRUST = 60 * 32
"""What a table whose symbols all are one counts against symbols of the tile, each of which counts 32 in all."""
_KEPT, _KEPT_BITS = 3, 3
"""What is left of the counts when a group of channels begins: three eighths."""
_LEAST = 4
"""A table that fewer symbols of a pass share stays as it is in the model: making another would take too long."""
Numbers = npt.NDArray[np.int64]


class Sharing(NamedTuple):
    """Which counts tables share: what follows from a model alone.

    trust: int64 [T], the N above; sums: int64 [T, K], N times the sums of frequencies up to each symbol, of 2^24;
    mirrors: int64 [K] for each axis; fine: int64 [2 S^2, 5], coarse: int64 [S^2, 5], the tables that a symbol counts
    for, by its classes, -1 where there is none.
    """

    tables: FrequencyTables
    trust: Numbers
    sums: Numbers
    mirrors: tuple[Numbers, Numbers]
    fine: Numbers
    coarse: Numbers

    @classmethod
    def make(cls, tables: FrequencyTables, codebook: IntArray, fine_map: IntArray, coarse_map: IntArray) -> Sharing:
        """Return what follows from tables, a codebook int16 [K, 2] and maps [S, S, 2] and [S, S], -1 where none is."""
        squares = np.square(tables.frequencies.astype(np.int64)).sum(axis=1).tolist()
        trust = np.array([(_TRUST << tables.bits) // math.isqrt(square) for square in squares])
        mirrors = tuple(_mirror(codebook, sign) for sign in ((-1, 1), (1, -1)))
        fine = _shared(fine_map).transpose(0, 2, 1).reshape(-1, len(_NEIGHBORS))
        coarse = _shared(coarse_map[:, :, None])[:, :, 0]
        sums = trust[:, None] * np.cumsum(tables.frequencies, axis=1, dtype=np.int64)
        return cls(tables, trust, sums << (rans.PRECISION_BITS - tables.bits), (mirrors[0], mirrors[1]), fine, coarse)


class AdaptiveTables(Tables):
    """The tables of one tile on their way through its passes."""

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing
        self._counts: Numbers = np.zeros(sharing.tables.frequencies.shape, np.int64)
        self._group = 0

    def enter(self, group: int) -> None:
        """Say of which group the next pass is; see Tables."""
        if self._group != group:
            self._counts *= _KEPT
            self._counts >>= _KEPT_BITS
        self._group = group

    def learn(self, pairs: IntArray, far: IntArray, coarse: IntArray, fine: IntArray) -> None:
        """Count the symbols of a pass; see Tables."""
        self._count(self._sharing.fine, 2 * pairs + far, fine)
        coded = self._sharing.coarse[pairs, 0] >= 0
        self._count(self._sharing.coarse, pairs[coded], coarse[coded])

    def coders(self, numbers: IntArray, counts: IntArray) -> list[rans.Table]:
        """Return the coders of tables, made of what is counted now; see Tables."""
        adapted = iter(rans.make_tables(self._spare(numbers[counts >= _LEAST])))
        plain = self._sharing.tables.coder
        each = zip(numbers.tolist(), counts.tolist(), strict=True)
        return [next(adapted) if count >= _LEAST else plain(number) for number, count in each]

    def costs_of(self, numbers: IntArray, symbols: IntArray) -> npt.NDArray[np.float32]:
        """Return the bits float32 [N] that symbols cost now; see Tables."""
        used, places, counts = np.unique(numbers, return_inverse=True, return_counts=True)
        frequencies = 1 + self._spare(used)[places, symbols]
        adapted = (rans.PRECISION_BITS - np.log2(frequencies.astype(np.float64))).astype(np.float32)
        plain = self._sharing.tables.costs_of(numbers, symbols)
        return np.where(counts[places] >= _LEAST, adapted, plain)

    def _spare(self, numbers: IntArray) -> Numbers:
        """Return frequencies int64 [N, K] that sum to 2^24, each less 1."""
        across, down = self._sharing.mirrors
        counts = self._counts[numbers]
        counts += counts[:, across]
        counts += counts[:, down]
        counts = np.cumsum(counts, axis=1)
        total = self._sharing.trust[numbers, None] + counts[:, -1:]
        counts <<= rans.PRECISION_BITS
        counts += self._sharing.sums[numbers]
        counts //= total
        # Each symbol has 1 of 2^24 for itself, and its part of the rest.
        counts *= (1 << rans.PRECISION_BITS) - counts.shape[1]
        counts >>= rans.PRECISION_BITS
        counts[:, 1:] -= counts[:, :-1].copy()
        return counts

    def _count(self, shared: Numbers, rows: IntArray, symbols: IntArray) -> None:
        """Count symbols [N] for the tables in rows [N] of what shares them."""
        K = self._counts.shape[1]
        keys, counts = np.unique(rows.astype(np.int64) * K + symbols, return_counts=True)
        rows, symbols = keys // K, keys % K
        for column, (_, _, weight) in enumerate(_NEIGHBORS):
            tables = shared[rows, column]
            there = np.flatnonzero(tables >= 0)
            np.add.at(self._counts, (tables[there], symbols[there]), weight * counts[there])


def _mirror(codebook: IntArray, sign: tuple[int, int]) -> Numbers:
    """Return for each codevector the lowest number of its mirror image, or its own where there is none."""
    numbers: dict[tuple[int, ...], int] = {}
    for number, vector in enumerate(codebook.tolist()):
        numbers.setdefault(tuple(vector), number)
    mirrored = (codebook.astype(np.int64) * sign).tolist()
    return np.array([numbers.get(tuple(vector), number) for number, vector in enumerate(mirrored)])


def _shared(tables: IntArray) -> Numbers:
    """Return [S^2, 5, n]: what a map [S, S, n] has at the classes around each pair of classes."""
    classes = np.arange(len(tables))
    around = [
        tables[(classes + i).clip(0, len(tables) - 1)][:, (classes + j).clip(0, len(tables) - 1)]
        for i, j, _ in _NEIGHBORS
    ]
    return np.stack(around, axis=2).reshape(len(tables) ** 2, len(_NEIGHBORS), -1).astype(np.int64)
