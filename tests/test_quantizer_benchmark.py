"""The benchmark of quantizers measures what it says, without the package that it compares with."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from vqcodec.quantizers import names


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
    module = importlib.import_module("quantizers")
    monkeypatch.setattr(module, "has_side", lambda entry, side: side == "ours")
    return module


def run(benchmark: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["quantizers.py", *arguments])
    benchmark.main()


def test_every_method_has_an_entry(benchmark: Any) -> None:
    assert {entry.settings.name for entry in benchmark.entries().values()} == set(names())


def test_time_and_memory_are_measured(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = str(torch.get_num_threads())
    run(benchmark, monkeypatch, "--batch", "16", "--runs", "1", "--threads", threads, "--only", "vq", "--json")
    facts = json.loads(capsys.readouterr().out)
    (row,) = facts["rows"]
    assert facts["batch"] == 16 and facts["threads"] == int(threads) and row["name"] == "vq"
    assert row["ms"]["ours"] > 0 and row["range_ms"]["ours"] == [row["ms"]["ours"]] * 2
    # A step makes z_q and the gradient of the latents, 16 * 128 * 32 * 32 values each, but no table of distances.
    assert 16 < row["mb"]["ours"] < 64


def test_a_step_beyond_the_memory_limit_does_not_fit(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(benchmark, monkeypatch, "--batch", "16", "--runs", "1", "--only", "vq", "--memory-limit", "2")
    assert (
        capsys.readouterr().out.splitlines()[-1] == "| vq | VectorQuantize | does not fit | – | – | does not fit | – |"
    )


def test_an_unknown_entry_is_refused(benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="no entry nothing; there are vq, "):
        run(benchmark, monkeypatch, "--only", "nothing")


def test_sides_take_turns_and_the_first_round_does_not_count(benchmark: Any) -> None:
    calls = []
    spent = benchmark.seconds({side: lambda side=side: calls.append(side) for side in ("ours", "theirs")}, 2)
    assert calls == ["ours", "theirs"] * 3 and [len(each) for each in spent.values()] == [2, 2]
