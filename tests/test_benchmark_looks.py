"""benchmarks/looks.py: differences of rate between curves that are known, over the rates that were asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return pytest.importorskip("looks")


def curve(factors: list[float], values: list[float]) -> dict[str, Any]:
    return {"label": "", "bpp": [factor * 0.05 * 2.0**i for i, factor in enumerate(factors)], "values": values}


def test_rates_are_compared_where_the_reference_has_them(looks: Any) -> None:
    falling = [9.0, 7.0, 5.0, 3.0, 1.0, 0.5]
    # Half the bits from 0.1 to 0.8 bits per pixel of the reference, nearly all of them outside.
    found = {"ours": curve([0.9, 0.5, 0.5, 0.5, 0.5, 0.9], falling), "theirs": curve([1.0] * 6, falling)}
    lines = looks.table({"curves": {"butteraugli": found}}, "theirs", (0.1, 0.8))
    assert lines[:2] == ["| measure | ours |", "|---|---|"]
    # Outside, where it needs nearly as many bits, pulls at the interpolation a little; the whole range gives -46.6.
    assert float(lines[2].split("|")[2].split()[0]) == pytest.approx(-50, abs=1.5)
    whole = looks.table({"curves": {"butteraugli": found}}, "theirs", (0.05, 1.6))
    assert float(whole[2].split("|")[2].split()[0]) > -48
    low, high = looks.reached(looks.Curve(**found["theirs"]), "butteraugli", (0.1, 0.8))
    assert (low, high) == pytest.approx((-7.0, -1.0))  # less is better, so the axis is negated
