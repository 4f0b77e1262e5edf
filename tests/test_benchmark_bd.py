"""benchmarks/bd.py: the mean difference of rate between curves that are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def bd(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return pytest.importorskip("bd")


def test_half_the_bits_are_minus_fifty_percent(bd: Any, tmp_path: Path) -> None:
    values = [26.0, 30.0, 34.0, 38.0]
    curves = {
        name: {"label": name, "bpp": [factor * 2.0**i for i in range(4)], "values": values}
        for name, factor in (("ours", 0.5), ("theirs", 1.0), ("best", 0.25))
    }
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"curves": {"psnr": curves}}))
    found = bd.against_others(path, "ours", "psnr", None)
    assert {name: round(rate.percent, 6) for name, rate in found.items()} == {"theirs": -50.0, "best": 100.0}
    assert (found["best"].low, found["best"].high) == (26.0, 38.0)
    rate = bd.against_others(path, "ours", "psnr", (28.0, 30.0))["theirs"]
    assert (rate.low, rate.high) == (28.0, 30.0) and rate.percent == pytest.approx(-50.0)
    with pytest.raises(SystemExit, match="choose from ours, theirs, best"):
        bd.against_others(path, "mine", "psnr", None)
