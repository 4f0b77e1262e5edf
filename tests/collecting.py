"""What tests of collections share: a folder of small pictures, the command, and its manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny import Result, Run, picture

NAMES = ["a.png", "b.PNG", "deep/c.png", "deep/er/d.png"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of the pictures NAMES, with another file and a hidden one."""
    folder = tmp_path / "photos"
    for seed, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(40, 56, seed)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"not meant")
    return folder


@pytest.fixture
def convert(run: Run, tiny_model: Path, tmp_path: Path) -> Any:
    """Compress IN into OUT by the tiny model, with a manifest."""

    def convert(source: object, output: object, *more: object) -> Result:
        words = ["-e", 1, "--model", tiny_model, "--manifest", tmp_path / "done.jsonl"]
        return run("compress", source, "-o", output, *words, *more)

    return convert


def lines(tmp_path: Path, name: str = "done.jsonl") -> list[dict[str, Any]]:
    """The lines of a manifest after the first, which says what it is of."""
    head, *said = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
    assert {"vqc", "input", "output", "model"} <= set(head)
    return said


def files(folder: Path) -> dict[str, bytes]:
    """What is in a folder, by the names in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
