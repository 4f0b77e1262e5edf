"""benchmarks/beta.py: the blur it takes back, and one small run through every variant."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny import picture


@pytest.fixture
def beta(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return importlib.import_module("beta")


def test_blur_is_taken_back(beta: Any) -> None:
    z = torch.randn(1, 2, 9, 12, generator=torch.Generator().manual_seed(0))
    again = torch.nn.functional.avg_pool2d(beta.interpolated(beta.unblurred(z)), beta.BETA)
    torch.testing.assert_close(again, z, atol=0.02, rtol=0)
    assert (torch.nn.functional.avg_pool2d(beta.interpolated(z), beta.BETA) - z).abs().mean() > 0.2


def test_every_variant_is_measured(
    beta: Any,
    context_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(2):
        Image.fromarray(picture(64, 96, seed)).save(folder / f"{seed}.png")
    options = "--every 1 --crops 2 --rows 4 --classes 2".split()
    monkeypatch.setattr(sys, "argv", ["beta.py", *map(str, (context_model, folder, folder)), *options])
    beta.main()
    lines = [line.split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [line[2:5] for line in lines if "quality" in line[1]] == 2 * [[" 1 ", " 34 ", " 67 "]]
    names = [line[1].strip() for line in lines]
    assert len(set(names)) == 1 + 10 + 7
    sizes = {line[1].strip(): int(line[4].split("/")[0].replace(",", "")) for line in lines if "quality" not in line[1]}
    assert sizes["`all`, blur left in"] > sizes["`conditional`, blur left in"] > sizes["β = 1, static prior"]
    assert sizes["context prior, `smooth`, blur left in"] == sizes["β = 1, context prior"]
    assert sizes["context prior, lower bound of `conditional`, blur left in"] > sizes["β = 1, context prior"]
