"""The reports in docs/ say what was measured and what tables say now: the command that writes them changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from vqcodec.reproduction import report

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("name", ["reproduction", "reproduction-cifar10", "reproduction-mnist"])
def test_a_report_is_what_its_command_writes(name: str, tmp_path: Path) -> None:
    assert report.write(DOCS / "results" / name, tmp_path / f"{name}.md") > 0
    command = f"vqc reproduce --report --work docs/results/{name} -o docs/{name}.md"
    written, kept = ((folder / f"{name}.md").read_text(encoding="utf-8") for folder in (tmp_path, DOCS))
    assert written == kept, f"docs/{name}.md has drifted; write it anew by {command}"
    pictures = {path.name for path in (tmp_path / "results").iterdir()}
    assert pictures <= {path.name for path in (DOCS / "results").iterdir()}, "pictures are missing; the same command"
