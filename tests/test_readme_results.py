"""The README's results section is what benchmarks/readme_results.py makes of the JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "benchmarks" / "readme_results.py"
START = "<!-- results: written by benchmarks/readme_results.py, do not edit -->"
END = "<!-- end of results -->"


@pytest.fixture
def results() -> dict[str, Any]:
    """Results as an evaluation writes them, as far as the script reads them."""
    rate = {"percent": -12.34, "low": 25.0, "high": 40.0}
    return {
        "pictures": [{"name": "kodim01.png"}, {"name": "kodim02.png"}],
        "codecs": {
            "photo": {"label": "vqc photo", "settings": {"format": "VQC"}},
            "jpeg": {"label": "JPEG 4:2:0", "settings": {"format": "JPEG"}},
        },
        "metrics": {"psnr": {"label": "PSNR RGB (dB)"}},
        "bd_rate": {
            "reference": "jpeg",
            "labels": {"photo": "vqc photo", "vtm*": "VTM 9.1*"},
            "against": {"psnr": {"photo": rate, "vtm*": {**rate, "percent": 3.0}}},
        },
        "published": {"vtm": {"name": "VTM 9.1"}},
    }


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the script on the README and the JSON of a folder."""
    paths = ("--results", str(folder / "kodak.json"), "--readme", str(folder / "README.md"))
    return subprocess.run([sys.executable, str(SCRIPT), *paths, *options], capture_output=True, text=True)


def test_section_is_written_and_checked(tmp_path: Path, results: dict[str, Any]) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n\n{START}\nold\n{END}\n\nafter\n", encoding="utf-8")
    (tmp_path / "kodak.json").write_text(json.dumps(results), encoding="utf-8")
    assert run(tmp_path, "--check").returncode == 1
    assert run(tmp_path).returncode == 0
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("\nafter\n")
    assert "| **vqc photo** | **−12.3 %** |" in text
    assert r"| VTM 9.1\* | +3.0 % |" in text
    assert run(tmp_path, "--check").returncode == 0
    readme.write_text(text.replace("12.3", "99.9"), encoding="utf-8")
    wrong = run(tmp_path, "--check")
    assert (wrong.returncode, "differs from" in wrong.stderr) == (1, True)


def test_a_readme_without_markers_is_an_error(tmp_path: Path, results: dict[str, Any]) -> None:
    (tmp_path / "README.md").write_text("nothing", encoding="utf-8")
    (tmp_path / "kodak.json").write_text(json.dumps(results), encoding="utf-8")
    assert "there is no <!-- results" in run(tmp_path).stderr
