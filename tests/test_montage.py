"""benchmarks/montage.py: the crops are the middles of the pictures, in their order."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import picture


@pytest.fixture
def montage(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return importlib.import_module("montage")


def test_middles_of_large_pictures_two_in_a_row(montage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i, (height, width) in enumerate([(260, 390), (100, 500), (256, 384), (300, 400), (256, 384)]):
        Image.fromarray(picture(height, width, i)).save(tmp_path / f"{i}.png")
    output = tmp_path / "out" / "montage.png"
    output.parent.mkdir()
    monkeypatch.setattr(sys, "argv", ["montage.py", str(tmp_path), str(output), "--every", "1", "--count", "4"])
    montage.main()
    made = np.asarray(Image.open(output))
    assert made.shape == (512, 768, 3)
    assert np.array_equal(made[:256, :384], picture(260, 390, 0)[2:258, 3:387])
    assert np.array_equal(made[:256, 384:], picture(256, 384, 2))
    assert np.array_equal(made[256:, :384], picture(300, 400, 3)[22:278, 8:392])
    monkeypatch.setattr(sys, "argv", ["montage.py", str(tmp_path), str(output)])
    with pytest.raises(SystemExit, match="has 2 such pictures of 384 x 256 or more"):
        montage.main()
