"""Tables by hand: those of a model, and those that adapt, after bitstream/FORMAT.md section 5.7, number by number."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy.typing as npt

NONE = 65535


class Tables:
    """The tables of a model, at 24 bits, which never change."""

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]], bits: int) -> None:
        self.bits = bits
        self.tables: list[list[int]] = arrays["context.tables"].tolist()
        self.vectors: list[list[int]] = arrays["context.codebook16"].tolist()
        self.fine_map = arrays["context.fine_map"].tolist()
        self.coarse_map = arrays["context.coarse_map"].tolist()

    def table(self, number: int, _uses: int) -> list[int]:
        """The frequencies of a table that codes so many symbols of a list."""
        return [f << 24 - self.bits for f in self.tables[number]]

    def begin_group(self) -> None:
        """A group of channels begins."""

    def count(self, classes: dict[Any, list[int]], coarse: dict[Any, int], fine: dict[Any, int]) -> None:
        """A pass is over: classes and indices of its units."""


class AdaptiveTables(Tables):
    """Tables that adapt."""

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]], bits: int) -> None:
        super().__init__(arrays, bits)
        self.counts = Counter[tuple[int, int]]()
        self.zero = self.vectors.index([0, 0])
        down = [self._image([x, -y], k) for k, (x, y) in enumerate(self.vectors)]
        across = [self._image([-x, y], k) for k, (x, y) in enumerate(self.vectors)]
        self.images = [(k, across[k], down[k], across[down[k]]) for k in range(len(self.vectors))]

    def _image(self, wanted: list[int], k: int) -> int:
        return self.vectors.index(wanted) if wanted in self.vectors else k

    def begin_group(self) -> None:
        """Three eighths are left."""
        self.counts = Counter({key: 3 * count // 8 for key, count in self.counts.items()})

    def table(self, number: int, uses: int) -> list[int]:
        """The frequencies of a table, as it is now."""
        plain = super().table(number, uses)
        if uses < 4:
            return plain
        counts = [sum(self.counts[number, image] for image in four) for four in self.images]
        N = (1920 << self.bits) // math.isqrt(sum(f * f for f in self.tables[number]))
        ends = [
            i + ((N * sum(plain[:i]) + (sum(counts[:i]) << 24)) // (N + sum(counts)) * (2**24 - len(plain)) >> 24)
            for i in range(len(plain) + 1)
        ]
        return [after - before for before, after in pairwise(ends)]

    def count(self, classes: dict[Any, list[int]], coarse: dict[Any, int], fine: dict[Any, int]) -> None:
        """Count what a pass has shown."""
        for unit, (i, j) in classes.items():
            for di, dj in ((0, 0), (0, 0), (0, 0), (0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
                a, b = (min(max(c, 0), len(self.coarse_map) - 1) for c in (i + di, j + dj))
                self.counts[self.fine_map[a][b][int(coarse[unit] != self.zero)], fine[unit]] += 1
                if NONE not in (self.coarse_map[i][j], self.coarse_map[a][b]):
                    self.counts[self.coarse_map[a][b], coarse[unit]] += 1
