"""benchmarks/smallest.py: who wins by which measure, where a picture without a file of ours is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def smallest(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return pytest.importorskip("smallest")


def test_more_is_better_or_less_as_the_measure_has_it(smallest: Any) -> None:
    scores = [{"ssimulacra2": -30.0, "butteraugli": 6.0}, {"ssimulacra2": -20.0, "butteraugli": 7.0}]
    found = [
        smallest.Pair(0.1, 0.09, True, scores[0], scores[1]),
        smallest.Pair(0.3, 0.29, False, scores[0], scores[1]),
        smallest.Pair(0.2, float("nan"), False, scores[0], None),
    ]
    head, *lines = smallest.table(found, "avif", ["ssimulacra2", "butteraugli"])
    assert head == "3 pictures, 2 of which have a file of ours, 1 at half the size: 0.2000 bpp of avif, 0.1900 of ours"
    assert lines[2] == "| ssimulacra2 | -30 | -20 | 2 of 3 |"
    assert list(smallest.table(found[2:], "webp", ["ssimulacra2"])) == [
        "no picture of 1 has a file of ours as small as that of webp"
    ]
    assert lines[3] == "| butteraugli | 6 | 7 | 0 of 3 |"
