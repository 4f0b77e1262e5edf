"""benchmarks/strip.py: a row for each picture, the original first, in one file."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import picture

import vqcodec


@pytest.fixture
def strip(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Any:
    """The script as a module that shows small pictures and uses the tiny model."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    module = importlib.import_module("strip")
    monkeypatch.setattr(module, "CELL", module.CELL._replace(width=64, height=48))
    monkeypatch.setattr(vqcodec, "compress", partial(vqcodec.compress, model=tiny_model), raising=False)
    monkeypatch.setattr(vqcodec, "decompress", partial(vqcodec.decompress, model=tiny_model), raising=False)
    return module


def test_rows_of_three_versions(strip: Any, tmp_path: Path) -> None:
    paths = []
    for i in range(2):
        paths.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(picture(60, 80, seed=i)).save(paths[-1])
    output = tmp_path / "strip.jpg"
    image = strip.strip([picture(60, 80, seed=i) for i in range(2)], 50)
    assert image.size == (3 * 64 + 2 * strip.CELL.gap, 2 * (48 + strip.CELL.caption))
    assert np.array_equal(np.asarray(image)[:48, :64], picture(60, 80, seed=0)[6:54, 8:72])
    strip.main([*paths, "-o", str(output), "-q", "50"])
    assert output.stat().st_size > 0


def test_a_small_picture_is_refused(strip: Any) -> None:
    with pytest.raises(SystemExit, match="80 x 40 is too small; give 64 x 48"):
        strip.strip([picture(40, 80, seed=0)], 50)
