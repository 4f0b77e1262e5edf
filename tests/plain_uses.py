"""One use of every command, and what a plain installation says to it: `vqc` works, or names the extra that it lacks.

python tests/plain_uses.py      # tries all with the `vqc` that is installed beside this Python; .ci/plain does
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

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
    "generate": ("photo", "--data", ".", "--only", "cifar10"),
    "push": ("photo", "ann/garden"),
    "desktop": ("--install",),
}
NEED = {
    "train": "quantizers",
    "eval": "eval",
    "analyze": "eval",
    "reproduce": "eval",
    "generate": "eval",
    "push": "hub",
}
SIDE = 176
Result = subprocess.CompletedProcess[str]


def check_uses(folder: Path, run: Callable[..., Result]) -> None:
    """Run all uses in a folder; AssertionError where one does anything but work or name its extra in one line."""
    gradient = Image.radial_gradient("L").resize((SIDE, SIDE))
    Image.merge("RGB", [gradient, gradient.rotate(90), gradient.rotate(180)]).save(folder / "photo.png")
    for name, arguments in USES.items():
        result = run(name, *arguments)
        if name == "verify":
            assert "pip install 'vqcodec[eval]'" in result.stderr and " dB\n" in result.stdout, result
        if name not in NEED:
            assert (name, result.returncode) == (name, 0), result.stderr
            continue
        (line,) = result.stderr.splitlines()
        assert (name, result.returncode, f"pip install 'vqcodec[{NEED[name]}]'" in line) == (name, 1, True), line


def main() -> None:
    """Try the installed command in a folder that holds nothing of a checkout."""
    vqc = Path(sys.executable).parent / "vqc"
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"XDG_DATA_HOME": str(Path(folder) / "data")}
        environment.pop("PYTHONPATH", None)

        def run(*arguments: str) -> Result:
            command = [str(vqc), *arguments]
            return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)

        check_uses(Path(folder), run)
    print(f"{len(USES)} commands work, or name the extra that they lack")


if __name__ == "__main__":
    main()
