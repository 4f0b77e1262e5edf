"""The order in which a context prior codes latents: groups of channels, phases of positions.

Channels come in groups, strongest first, and each group in phases: a few scattered positions,
then those between them, and so on, until the grid is full. A position of a phase sees every
earlier group all around it and, of its own group, the neighbors of earlier phases. All
positions of a phase are independent of each other, so a pass is one batch of work. A group starts
at some row of qualities; below it, where its latents would be zero anyway, it is not coded.

bitstream/FORMAT.md, "Context prior", is the law.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from vqcodec.exact.bitstream.patterns import PATTERNS, Offset, Pattern

MARGIN = 8
"""Positions around the grid that offsets may reach; they read as zero."""


AROUND = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
"""The neighborhood in which earlier groups are seen."""


@dataclass(frozen=True)
class Group:
    """One group of channels: its number, its channels, its pattern, and the row of qualities from which it is coded."""

    number: int
    channels: slice
    pattern: Pattern
    start: int

    @property
    def n(self) -> int:
        """The number of its channels."""
        return int(self.channels.stop - self.channels.start)

    @property
    def before(self) -> int:
        """The number of channels of earlier groups."""
        return int(self.channels.start)


def default_patterns(count: int) -> tuple[str, ...]:
    """Return the names of the patterns of `count` groups that have not been told which to take."""
    # Weak channels say little of each other, and earlier groups have told most: three phases are enough for them.
    return ("deep", "fine", *["coarse"] * count)[:count]


def make_groups(sizes: Sequence[int], patterns: Sequence[str], starts: Sequence[int]) -> tuple[Group, ...]:
    """Return groups of so many channels; ValueError or KeyError where lengths or names do not fit."""
    ends = list(accumulate(sizes))
    described = zip(sizes, ends, patterns, starts, strict=True)
    return tuple(
        Group(number, slice(end - n, end), PATTERNS[name], start)
        for number, (n, end, name, start) in enumerate(described)
    )


def first_groups(groups: tuple[Group, ...], channels: int) -> tuple[Group, ...]:
    """Return the groups that hold the first channels."""
    return tuple(group for group in groups if group.before < channels)


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
