"""The order of the context prior's passes in the reference decoder: FORMAT.md section 5.4.

It needs NumPy and the standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from reference_rans import Integers

MARGIN: Final = 8  # how far offsets reach

Offset = tuple[int, int]  # dy, dx


@dataclass(frozen=True)
class Phase:
    """One phase of a pattern: the cells (y, x) it fills, and the offsets (dy, dx) at which it sees its own group."""

    cells: tuple[Offset, ...]
    offsets: tuple[Offset, ...]


@dataclass(frozen=True)
class Pattern:
    """Phases that fill a square of `period` x `period` positions."""

    period: int
    phases: tuple[Phase, ...]


AROUND: Final = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
DIAGONAL: Final = ((-1, -1), (-1, 1), (1, -1), (1, 1))
STRAIGHT: Final = ((-1, 0), (0, -1), (0, 1), (1, 0))
KNIGHT: Final = ((-2, -1), (-2, 1), (-1, -2), (-1, 2), (1, -2), (1, 2), (2, -1), (2, 1))


def grid(step: int, *cells: Offset) -> tuple[Offset, ...]:
    """Cells or offsets, each `step` times as far."""
    return tuple((step * y, step * x) for y, x in cells)


ODD_4: Final = ((0, 1), (0, 3), (1, 0), (1, 2), (2, 1), (2, 3), (3, 0), (3, 2))  # odd sums in a square of 4
BOTH_ODD_4: Final = ((1, 1), (1, 3), (3, 1), (3, 3))
ODD_8: Final = tuple((y, x) for y in range(8) for x in range(8) if (y + x) % 2 == 1)
BOTH_ODD_8: Final = tuple((y, x) for y in range(8) for x in range(8) if y % 2 == 1 == x % 2)
ODD_16: Final = tuple((y, x) for y in range(16) for x in range(16) if (y + x) % 2 == 1)
BOTH_ODD_16: Final = tuple((y, x) for y in range(16) for x in range(16) if y % 2 == 1 == x % 2)
PATTERNS: Final = {
    "deep": Pattern(16, (
        Phase(((0, 0),), ()),
        Phase(((8, 8),), grid(8, *DIAGONAL)),
        Phase(((0, 8), (8, 0)), grid(8, *STRAIGHT)),
        Phase(((4, 4), (4, 12), (12, 4), (12, 12)), grid(4, *DIAGONAL)),
        Phase(grid(4, *ODD_4), grid(4, *STRAIGHT)),
        Phase(grid(2, *BOTH_ODD_8), grid(2, *DIAGONAL)),
        Phase(grid(2, *ODD_8), grid(2, *STRAIGHT, *KNIGHT)),
        Phase(BOTH_ODD_16, DIAGONAL),
        Phase(ODD_16, STRAIGHT + KNIGHT),
    )),
    "fine": Pattern(4, (
        Phase(((0, 0),), ()),
        Phase(((2, 2),), grid(2, *DIAGONAL)),
        Phase(((0, 2), (2, 0)), grid(2, *STRAIGHT)),
        Phase(BOTH_ODD_4, DIAGONAL),
        Phase(ODD_4, STRAIGHT + KNIGHT),
    )),
    "coarse": Pattern(2, (
        Phase(((0, 0),), ()),
        Phase(((1, 1),), DIAGONAL),
        Phase(((0, 1), (1, 0)), STRAIGHT),
    )),
}  # fmt: skip
LINEAR: Final = ("deep", "fine")  # the patterns with linear predictions


def places_of(pattern: Pattern, phase: int, rows: int, columns: int) -> tuple[Integers, Integers]:
    """y and x [N] of a phase's positions: cell by cell, each cell's in raster order."""
    y, x = np.mgrid[:rows, :columns].reshape(2, -1)
    cells = [(y % pattern.period == cy) & (x % pattern.period == cx) for cy, cx in pattern.phases[phase].cells]
    order = np.concatenate([np.flatnonzero(cell) for cell in cells])
    return y[order], x[order]


def gather(field: Integers, places: tuple[Integers, Integers], offsets: Sequence[Offset]) -> Integers:
    """What [h, w, c] holds around places, [N, offsets * c] with the offset slowest; zero outside."""
    padded = np.pad(field, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)))
    y, x = places
    return np.concatenate([padded[y + dy + MARGIN, x + dx + MARGIN] for dy, dx in offsets], axis=1)
