"""benchmarks/looks_sheet.py: a row for each picture, the original first, every file within the limit or in red."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import picture


@pytest.fixture
def looks_sheet(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module that shows small pictures."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    module = importlib.import_module("looks_sheet")
    monkeypatch.setattr(module, "CELL", module.CELL._replace(width=64, height=48))
    return module


def test_sheets_of_two_rates(looks_sheet: Any, tmp_path: Path) -> None:
    for i in range(2):
        Image.fromarray(picture(60, 80, seed=i)).save(tmp_path / f"{i}.png")
    output = tmp_path / "sheets"
    looks_sheet.main([str(tmp_path), "-o", str(output), "--codec", "jpeg", "webp", "--bpp", "0.01", "4"])
    for name in ("0.01", "4"):
        with Image.open(output / f"{name}.jpg") as image:
            assert image.size == (3 * 64 + 2 * looks_sheet.CELL.gap, 2 * (48 + looks_sheet.CELL.caption))
            shown = np.asarray(image).astype(int)
        assert np.abs(shown[:48, :64] - picture(60, 80, seed=0)[6:54, 8:72]).mean() < 8
        # Captions of files that are larger than the limit are red: no JPEG of 60 x 80 pixels has 6 bytes.
        captions = shown[48 : 48 + looks_sheet.CELL.caption, 70:]
        assert ((captions[..., 0] > captions[..., 1] + 100).any()) == (name == "0.01")
