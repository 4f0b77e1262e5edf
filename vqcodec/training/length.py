"""How a run spends its time: what a step takes, and which stages had less of it than they were to have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vqcodec.training.stage import Stage

# Half of its share of the steps is what a stage may lose to the fitting of tables.
_LEAST_SHARE = 0.5


class Mean:
    """The mean of numbers, 0 before there are any."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, number: float) -> None:
        """Count one more."""
        self._sum, self._count = self._sum + number, self._count + 1

    @property
    def value(self) -> float:
        """The mean."""
        return self._sum / max(1, self._count)


def cut_note(stages: Sequence[Stage[Any]], taken: Mapping[str, int]) -> str | None:
    """Return the sentence on stages that had less than half of their share of the steps `taken`, or None.

    A run whose length is a time loses steps where tables are fitted.
    """
    total, begun, cut = sum(taken.values()), 0.0, []
    for stage in stages:
        share = min(1.0, stage.until) - begun
        begun += share
        steps = taken.get(stage.name, 0)
        if steps < _LEAST_SHARE * share * total:
            cut.append(f"{stage.name} {steps} instead of {round(share * total)} steps")
    if not cut:
        return None
    return f"the time was too short for all stages: {', '.join(cut)}; a longer --time gives a better model"
