"""Every command in an installation without extras works or names the extra; what can be said without torch is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from plain_uses import USES, Result, check_uses
from test_architecture import modules_after

from vqcodec.cli import _EXTRAS, COMMANDS

WITHOUT = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(_EXTRAS)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from vqcodec.cli import main
main(sys.argv[1:])
"""


def test_every_command_works_or_names_its_extra(tmp_path: Path) -> None:
    assert tuple(USES) == COMMANDS
    environment = os.environ | {"XDG_DATA_HOME": str(tmp_path / "data")}

    def run(*arguments: str) -> Result:
        command = [sys.executable, "-c", WITHOUT, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)

    check_uses(tmp_path, run)


def test_a_target_names_its_extra_at_once(tmp_path: Path) -> None:
    (tmp_path / "photo.png").touch()
    arguments = ("compress", "photo.png", "--target-ssimulacra2", "60")
    code = WITHOUT.replace(
        "main(sys.argv[1:])", f"try: main({arguments!r})\nexcept SystemExit: assert 'torch' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert result.stderr == "vqc: ssimulacra2 needs scipy, which is not installed; run: pip install 'vqcodec[eval]'\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("compress", "missing.png"),
        ("compress", "photo.png", "-q", "10", "--target-bpp", "1"),
        ("compress", "photo.png", "-o", "missing/photo.vqc"),
        ("compress", "photo.png", "--model", "missing"),
        ("decompress", "missing.vqc"),
        ("decompress", "photo.png", "-o", "x.png"),
        ("verify", "missing.png", "photo.vqc"),
        ("verify", "photo.png", "photo.png"),
        ("train", "missing"),
        ("eval", "missing"),
        ("compare", "missing.png"),
        ("analyze", "photo", "missing.png", "-o", "x"),
        ("analyze", "missing", "photo.png", "-o", "x"),
    ],
    ids=" ".join,
)
def test_what_is_wrong_is_said_before_torch_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    (tmp_path / "photo.png").touch()
    code = (
        f"import os; os.chdir({str(tmp_path)!r})\nfrom vqcodec.cli import main\n"
        f"try: main({list(arguments)!r})\nexcept SystemExit as end: assert end.code in (1, 2)"
    )
    assert "torch" not in modules_after(code)
