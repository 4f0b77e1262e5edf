"""The commands of docs/tutorial.md run as they stand there, on smaller pictures and with fewer steps."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image
from tiny import Run, picture

PAGE = Path(__file__).parent.parent / "docs" / "tutorial.md"
SMALLER = {"K": 16, "m": 12, "d": 24, "width": 8, "crop": 64, "batch": 2, "fit_crops": 4}


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language, in their order."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def commands() -> list[list[str]]:
    return [shlex.split(line)[1:] for block in blocks("sh") for line in block.splitlines()]


def scaled(recipe: str) -> str:
    """Return the recipe with values that train in seconds; every one that it has is known here."""
    for name, value in SMALLER.items():
        recipe, count = re.subn(rf"^{name} = \d+", f"{name} = {value}", recipe, flags=re.MULTILINE)
        assert count == 1, name
    return recipe


def test_the_page_trains_compresses_and_decompresses_in_this_order() -> None:
    assert [words[0] for words in commands()] == ["train", "analyze", "compress", "info", "decompress"]
    assert "--time 8m" in PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_commands_make_a_model_a_file_and_a_picture(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photographs").mkdir()
    for i in range(20):
        Image.fromarray(picture(72, 80, seed=i)).save(f"photographs/{i}.png")
    Image.fromarray(picture(70, 101, seed=50)).save("test.png")
    Path("mine.toml").write_text(scaled(*blocks("toml")), encoding="utf-8")
    for words in commands():
        if "--time" in words:
            words[words.index("--time") : words.index("--time") + 2] = ["--steps", "8"]
        result = run(*words)
        assert result.code == 0, (words, result.err)
    assert Path("analysis/index.html").exists()
    with Image.open("back.png") as back:
        assert back.size == (101, 70)
    Path("test.vqc").unlink()
    (code,) = blocks("python")
    names: dict[str, object] = {}
    exec(code, names)
    assert getattr(names["picture"], "size", None) == (101, 70)
