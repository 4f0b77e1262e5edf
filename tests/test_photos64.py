"""Photographs of 64 x 64: a folder of them becomes a model and new pictures, by the commands of the page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image
from tiny import Run, picture

from vqcodec.generation import generator

PAGE = Path(__file__).parent.parent / "docs" / "tokens.md"


def commands() -> list[list[str]]:
    """The commands of the page's part on photographs, as arguments."""
    part = PAGE.read_text(encoding="utf-8").split("## Photographs of 64 × 64")[1].split("\n## ")[0]
    return [shlex.split(line, comments=True)[1:] for line in part.splitlines() if line.startswith("    vqc ")]


def test_the_commands_of_the_page_make_new_pictures_of_a_folder(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split, seed in (("train", 1), ("test", 2)):
        folder = tmp_path / "sets" / "photos" / split
        folder.mkdir(parents=True)
        Image.fromarray(picture(300, 530, seed)).save(folder / "photo.png")
    monkeypatch.chdir(tmp_path)
    reproduce, generate = commands()
    assert reproduce[0] == "reproduce" and generate[0] == "generate"
    reproduce[reproduce.index("--budget") + 1] = "0.002"
    done = run(*reproduce)
    assert done.code == 0, done.err
    (model,) = Path("reproduction").glob("photos64-*.safetensors")
    assert re.fullmatch(generate[1].replace("....", "[a-z0-9-]*[.]"), str(model))
    small = ("--steps", 2, "--batch", 2, "--width", 16, "--layers", 1, "--count", 0, "--threads", 1)
    made = run("generate", model, *generate[2:], *small)
    assert made.code == 0, made.err
    output = Path(generate[generate.index("-o") + 1])
    with Image.open(output / "samples.png") as page:
        assert page.size == (8 * 64, 8 * 64)
    transformer, purpose = generator.read(output / "generator.safetensors")
    assert transformer.sizes.places == 16 * 16 and purpose.data.startswith("photos64: 2 pictures, crc ")
