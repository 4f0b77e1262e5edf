"""The order in which a context prior codes latents: groups of channels, phases of positions.

Channels come in groups, strongest first, and each group in phases: a few scattered positions,
then those between them, and so on, until the grid is full. A position of a phase sees every
earlier group all around it and, of its own group, the neighbours of earlier phases. All
positions of a phase are independent of each other, so a pass is one batch of work.

bitstream/FORMAT.md, "Context prior", is the law.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Offset = tuple[int, int]
MARGIN = 2
"""Positions around the grid that offsets may reach; they read as zero."""


@dataclass(frozen=True)
class Phase:
    """Cells (y, x) of a repeating square that one phase fills, and the offsets (dy, dx) it looks at."""

    cells: tuple[Offset, ...]
    offsets: tuple[Offset, ...]


@dataclass(frozen=True)
class Pattern:
    """Phases that together fill a square of `period` x `period` positions."""

    period: int
    phases: tuple[Phase, ...]


_DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_STRAIGHT = ((-1, 0), (0, -1), (0, 1), (1, 0))
_KNIGHT = ((-2, -1), (-2, 1), (-1, -2), (-1, 2), (1, -2), (1, 2), (2, -1), (2, 1))


def _twice(offsets: tuple[Offset, ...]) -> tuple[Offset, ...]:
    return tuple((2 * dy, 2 * dx) for dy, dx in offsets)


PATTERNS = {
    # The first group has no other to look at: start from one position in sixteen.
    "fine": Pattern(
        4,
        (
            Phase(((0, 0),), ()),
            Phase(((2, 2),), _twice(_DIAGONAL)),
            Phase(((0, 2), (2, 0)), _twice(_STRAIGHT)),
            Phase(((1, 1), (1, 3), (3, 1), (3, 3)), _DIAGONAL),
            Phase(tuple((y, x) for y in range(4) for x in range(4) if (y + x) % 2), _STRAIGHT + _KNIGHT),
        ),
    ),
    "coarse": Pattern(
        2,
        (
            Phase(((0, 0),), ()),
            Phase(((1, 1),), _DIAGONAL),
            Phase(((0, 1), (1, 0)), _STRAIGHT),
        ),
    ),
}
AROUND = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
"""The neighbourhood in which earlier groups are seen."""


def pattern_of(group: int) -> Pattern:
    """Return the phases of a group: `fine` for the first, `coarse` for the others."""
    return PATTERNS["coarse" if group else "fine"]


@lru_cache(maxsize=64)
def positions(pattern: Pattern, phase: int, height: int, width: int) -> npt.NDArray[np.int64]:
    """Return the places [N] of a phase in a flattened grid [height, width], cell by cell, each in raster order."""
    parts = []
    for y, x in pattern.phases[phase].cells:
        rows, columns = np.arange(y, height, pattern.period), np.arange(x, width, pattern.period)
        parts.append((rows[:, None] * width + columns).reshape(-1))
    return np.concatenate(parts)


def padded(places: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.int64]:
    """Return the same places in the flattened grid with a margin of MARGIN on each side."""
    return (places // width + MARGIN) * (width + 2 * MARGIN) + places % width + MARGIN


def steps(offsets: tuple[Offset, ...], width: int) -> npt.NDArray[np.int64]:
    """Return offsets as differences of places in the padded, flattened grid."""
    return np.array([dy * (width + 2 * MARGIN) + dx for dy, dx in offsets], dtype=np.int64)
