"""The scripts in examples/ do what they say, in fewer steps, and stay short enough to be read at once."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import folder_of_pictures

from vqcodec.codec import Codec
from vqcodec.losses import LOSSES

EXAMPLES = Path(__file__).parent.parent / "examples"
MOST_LINES = 100


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with four pictures."""
    return folder_of_pictures(tmp_path / "photographs", 4, 80, 96)


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function that imports an example by its name; what it has registered is forgotten after the test."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    known = dict(LOSSES)
    yield importlib.import_module
    LOSSES.clear()
    LOSSES.update(known)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < MOST_LINES


@pytest.mark.slow
def test_train_tiny_prints_sizes_that_grow_with_quality(
    examples: Any, folder: Path, tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "tiny.safetensors"
    examples("train_tiny").main([str(folder), str(photo), "--steps", "8", "--output", str(output)])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("quality ")]
    sizes = [int(line.split()[2].replace(",", "")) for line in lines]
    assert len(lines) == 3 and sizes == sorted(sizes)


@pytest.mark.slow
def test_own_loss_is_trained_with(examples: Any, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "edges.safetensors"
    examples("own_loss").main([str(folder), "--steps", "8", "--output", str(output)])
    assert Codec.open(output).metadata.training["settings"]["losses"]["edges"] == 1.0


def test_own_loss_is_zero_for_equal_pictures_and_has_gradients(examples: Any) -> None:
    loss = examples("own_loss").Edges()
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    y = (x * 0.5).requires_grad_()
    assert float(loss(x, x)) == 0
    loss(x, y).backward()
    assert y.grad is not None and bool(y.grad.isfinite().all()) and float(y.grad.abs().sum()) > 0
