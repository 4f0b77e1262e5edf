"""The patterns of phases in which a context prior codes positions, by the names that model files have for them.

bitstream/FORMAT.md, "Context prior", is the law; no NumPy, so that a model's description is read without it.
"""

from __future__ import annotations

from dataclasses import dataclass

Offset = tuple[int, int]


@dataclass(frozen=True)
class Phase:
    """Cells (y, x) of a repeating square that one phase fills, and the offsets (dy, dx) it looks at."""

    cells: tuple[Offset, ...]
    offsets: tuple[Offset, ...]


@dataclass(frozen=True)
class Pattern:
    """Phases that together fill a square of `period` x `period` positions.

    With `linear` means are also predicted linearly from the group's own known neighbors, priors/linear.py.
    """

    period: int
    phases: tuple[Phase, ...]
    linear: bool = False


_DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_STRAIGHT = ((-1, 0), (0, -1), (0, 1), (1, 0))
_KNIGHT = ((-2, -1), (-2, 1), (-1, -2), (-1, 2), (1, -2), (1, 2), (2, -1), (2, 1))


def _times(factor: int, offsets: tuple[Offset, ...]) -> tuple[Offset, ...]:
    return tuple((factor * dy, factor * dx) for dy, dx in offsets)


def _cells(period: int, step: int, odd: bool) -> tuple[Offset, ...]:
    """Return the cells on a grid of `step` whose places on it are both odd or, with `odd`, sum to an odd number."""
    places = [(y // step, x // step) for y in range(0, period, step) for x in range(0, period, step)]
    wanted = [(y, x) for y, x in places if ((y + x) % 2 if odd else y % 2 and x % 2)]
    return tuple((step * y, step * x) for y, x in wanted)


PATTERNS = {
    # The means of the colors, where a flat place should cost nothing: start from one position in 256.
    "deep": Pattern(
        16,
        (
            Phase(((0, 0),), ()),
            Phase(_cells(16, 8, False), _times(8, _DIAGONAL)),
            Phase(_cells(16, 8, True), _times(8, _STRAIGHT)),
            Phase(_cells(16, 4, False), _times(4, _DIAGONAL)),
            Phase(_cells(16, 4, True), _times(4, _STRAIGHT)),
            Phase(_cells(16, 2, False), _times(2, _DIAGONAL)),
            Phase(_cells(16, 2, True), _times(2, _STRAIGHT + _KNIGHT)),
            Phase(_cells(16, 1, False), _DIAGONAL),
            Phase(_cells(16, 1, True), _STRAIGHT + _KNIGHT),
        ),
        linear=True,
    ),
    # Strong channels that earlier groups say little of: start from one position in sixteen.
    "fine": Pattern(
        4,
        (
            Phase(((0, 0),), ()),
            Phase(_cells(4, 2, False), _times(2, _DIAGONAL)),
            Phase(_cells(4, 2, True), _times(2, _STRAIGHT)),
            Phase(_cells(4, 1, False), _DIAGONAL),
            Phase(_cells(4, 1, True), _STRAIGHT + _KNIGHT),
        ),
        linear=True,
    ),
    "coarse": Pattern(
        2,
        (
            Phase(((0, 0),), ()),
            Phase(_cells(2, 1, False), _DIAGONAL),
            Phase(_cells(2, 1, True), _STRAIGHT),
        ),
    ),
}
