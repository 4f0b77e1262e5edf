"""Every command in an installation without extras works or names the extra; what can be said without torch is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from test_architecture import modules_after
from tiny import picture

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
USES = {
    "compress": ("photo.png",),
    "decompress": ("photo.vqc", "-o", "back.png"),
    "verify": ("photo.png", "photo.vqc"),
    "info": ("photo.vqc",),
    "models": (),
    "train": ("photo.png", "--quantizer", "fsq", "-o", "x.safetensors"),
    "eval": ("photo.png", "-o", "results"),
    "compare": ("photo.png", "--bpp", "3", "--codec", "jpeg"),
    "analyze": ("photo", "photo.png", "-o", "analysis"),
    "reproduce": ("looc-1", "--data", "."),
    "tokens": ("photo.png",),
    "sample": ("-o", "sample.png", "--size", "32x32"),
    "desktop": ("--install",),
}
NEED = {"train": "quantizers", "eval": "eval", "analyze": "eval", "reproduce": "eval"}


def test_every_command_works_or_names_its_extra(tmp_path: Path) -> None:
    Image.fromarray(picture(176, 176, seed=1)).save(tmp_path / "photo.png")
    assert tuple(USES) == COMMANDS
    environment = os.environ | {"XDG_DATA_HOME": str(tmp_path / "data")}
    for name, arguments in USES.items():
        command = [sys.executable, "-c", WITHOUT, name, *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
        if name == "verify":
            assert "pip install 'vqcodec[eval]'" in result.stderr and " dB\n" in result.stdout
        if name not in NEED:
            assert (name, result.returncode) == (name, 0), result.stderr
            continue
        (line,) = result.stderr.splitlines()
        assert (name, result.returncode, f"pip install 'vqcodec[{NEED[name]}]'" in line) == (name, 1, True), line


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
