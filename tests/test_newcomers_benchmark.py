"""benchmarks/newcomers.py: a row for each quantizer, whether it has made a model or not."""

from __future__ import annotations

import importlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny import picture


@pytest.fixture
def newcomers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return importlib.import_module("newcomers")


def test_every_quantizer_has_a_row(
    newcomers: Any,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for i in range(3):
        Image.fromarray(picture(70, 101, seed=i)).save(tmp_path / f"{i}.png")

    def run(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        name, output = words[words.index("--quantizer") + 1], Path(words[words.index("-o") + 1])
        assert words[words.index("--time") + 1] == "5s" and words[words.index("--match") + 1] == "1*"
        if name == "fsq":
            return subprocess.CompletedProcess(words, 1, "", "a note\nvqc: it needs an extra\n")
        output.write_bytes(tiny_model.read_bytes())
        return subprocess.CompletedProcess(words, 0, "trained", "the time was too short\n")

    monkeypatch.setattr(newcomers.subprocess, "run", run)
    table = tmp_path / "table.md"
    arguments = [str(tmp_path), "--held", str(tmp_path), "--count", "2", "--time", "5s", "--match", "1*"]
    newcomers.main([*arguments, "--only", "vq,fsq", "-o", str(table)])
    lines = capsys.readouterr().out.splitlines()
    assert table.read_text().splitlines() == lines and len(lines) == 4
    made, lacking = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:])
    assert made[0] == "`vq`" and made[6] in ("yes", "no") and made[7] == "the time was too short"
    assert float(made[3]) <= float(made[2]) < 60 and 0 < float(made[4]) <= float(made[5])
    assert lacking[0] == "`fsq`" and lacking[6:] == ["no model", "vqc: it needs an extra"]
