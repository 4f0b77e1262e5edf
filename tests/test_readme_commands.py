"""The commands of the README, as they are written and in their order, in a folder that has only what they are given."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageFilter
from tiny import Run, picture

from vqcodec import training
from vqcodec.generation.run import Workplace
from vqcodec.reproduction import report
from vqcodec.reproduction.workbench import Workbench

README = Path(__file__).parent.parent / "README.md"


def commands() -> list[list[str]]:
    """The indented lines of the README that begin with vqc and are no pattern, as arguments."""
    lines = README.read_text(encoding="utf-8").splitlines()
    found = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("    vqc ")]
    assert len(found) > 12
    return found


def test_commands_run_as_they_are_written(
    run: Run, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the hours: training, reproduction and generation begin, but their steps are those of others' tests."""

    def train(sources: list[Path], output: Path, *_: object, **__: object) -> bool:
        assert [source.is_dir() for source in sources] == [True]
        shutil.copy(tiny_model, output)
        return True

    monkeypatch.setattr(training, "run", train)
    measured = {"lossless": {"psnr_db": 30.0}, "bytes": 1, "usage": 1}
    monkeypatch.setattr(Workbench, "bring", lambda *_: {"epochs": 1, "measured": measured})
    monkeypatch.setattr(Workbench, "lossless", lambda *_: None)
    monkeypatch.setattr(Workbench, "load", lambda *_: None)
    monkeypatch.setattr(report, "write", lambda *_: 1)
    for name, value in (
        ("check_model", None),
        ("check_count", None),
        ("bring", object()),
        ("page", None),
        ("measure", {}),
    ):
        monkeypatch.setattr(Workplace, name, lambda *_, value=value: value)
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Path("sets").mkdir()
    for path in ("photo.png", "photos/one.png"):  # smooth, so that 38 dB can be reached
        Image.fromarray(picture(176, 192, seed=1)).filter(ImageFilter.GaussianBlur(4)).save(path)
    for arguments in commands():
        result = run(*arguments)
        assert result.code == 0, f"vqc {' '.join(arguments)}: {result.err}"
