"""Batches that are killed with all their processes go on without a trace: a few pictures of what the benchmark does."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny import picture

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
batch: Any = importlib.import_module("batch")


def test_a_batch_killed_at_a_random_place_is_done_in_the_end(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "SAMPLE", 2)
    for number in range(2):
        Image.fromarray(picture(300, 420, number)).save(tmp_path / f"{number}.png")
    model = ["--model", "photo"]
    # Killed as soon as some of the first fifteen are there: the batch cannot end before.
    figures = batch.measure(tmp_path, 20, 2, 1, ["-e", "1"], model, size=(160, 120), delay_seconds=0)
    assert figures["count"] == 20 and 0 < figures["before_the_kill"] < 20
