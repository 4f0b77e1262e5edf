"""The scripts of examples/ do what their pages in docs/ say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from tiny import Run, picture

from vqcodec import quantizers
from vqcodec.exact import model_file

ROOT = Path(__file__).parent.parent
MOST_LINES = 100


def run_example(name: str, *arguments: Path) -> str:
    """What a script prints, which must end well, in an interpreter of its own."""
    script = ROOT / "examples" / f"{name}.py"
    assert len(script.read_text(encoding="utf-8").splitlines()) < MOST_LINES
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_own_quantizer(run: Run, tmp_path: Path) -> None:
    Image.fromarray(picture(80, 96, seed=3)).save(tmp_path / "a.png")
    assert "picture.vqc" in run_example("own_quantizer", tmp_path / "a.png", tmp_path)
    model, file = tmp_path / "hopping.safetensors", tmp_path / "picture.vqc"
    name = model_file.read_metadata(model).quantizer["name"]
    assert name == "hopping" and name not in quantizers.names()
    assert run("decompress", file, "--model", model, "-o", tmp_path / "again.png").code == 0, "by a vqc without it"
    with Image.open(tmp_path / "picture.png") as first, Image.open(tmp_path / "again.png") as second:
        assert first.size == (96, 80)
        assert np.array_equal(np.asarray(first), np.asarray(second))
    assert b"hopping" in run("info", file, "--model", model).out


def test_the_page_of_the_own_quantizer_shows_its_class() -> None:
    page = (ROOT / "docs" / "extending-quantizer.md").read_text(encoding="utf-8")
    shown = page.split("```python\n")[1].split("```")[0]
    assert shown.strip() in (ROOT / "examples" / "own_quantizer.py").read_text(encoding="utf-8")
