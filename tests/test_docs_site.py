"""docs/api.md is what the docstrings say, and the site has every page."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SLOW

ROOT = Path(__file__).parent.parent


def test_the_api_page_is_what_the_docstrings_say() -> None:
    check = [sys.executable, ROOT / "docs" / "make_api.py", "--check"]
    result = subprocess.run(check, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_site_stages_and_names_every_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    files = importlib.import_module("stage_site").stage(tmp_path / "pages")
    assert (tmp_path / "pages" / "docs" / "architecture.svg").exists()
    named = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(named) == sorted(file.as_posix() for file in files if file.suffix == ".md")


def test_the_glossary_defines_each_word_once() -> None:
    lines = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    words = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
    defined = [word for word in words if word != "word"]
    assert len(defined) > 40 and len(set(defined)) == len(defined)


def test_the_slow_files_are_there() -> None:
    assert [name for name in sorted(SLOW) if not (ROOT / "tests" / f"test_{name}.py").exists()] == []
