"""Pictures a second of a training by one process with all cores, and by one process for each core.

    python benchmarks/processes.py PHOTOGRAPHS [--recipe train/recipes/photo.toml] [--steps 60]

The first third of the steps does not count: caches, and the measurement of bfloat16, come first.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from vqcodec.cores import cores
from vqcodec.training import checkpoint, checkpoint_path

RECIPE = Path(__file__).parent.parent / "train" / "recipes" / "photo.toml"


def pictures_per_second(folder: Path, recipe: Path, steps: int, processes: int) -> tuple[float, float]:
    """Return pictures a second, and the last loss."""
    with tempfile.TemporaryDirectory() as place:
        output = Path(place) / "model.safetensors"
        words = ["--recipe", str(recipe), "--steps", str(steps), "--threads", str(max(1, cores() // processes))]
        command = [sys.executable, "-m", "vqcodec", "train", str(folder), *words, "--processes", str(processes)]
        subprocess.run([*command, "-o", str(output)], check=True)
        found = checkpoint.read(checkpoint_path(output))
    log = [entry for entry in found["progress"]["log"] if "loss" in entry]
    first = next(entry for entry in log if entry["step"] >= steps // 3)
    seconds, taken = log[-1]["seconds"] - first["seconds"], log[-1]["step"] - first["step"]
    return taken * found["settings"]["batch"] / seconds, log[-1]["loss"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    one, loss_of_one = pictures_per_second(options.folder, options.recipe, options.steps, 1)
    print(f"1 process:   {one:.2f} pictures a second, loss {loss_of_one:.5f}")
    many, loss_of_many = pictures_per_second(options.folder, options.recipe, options.steps, cores())
    print(f"{cores()} processes: {many:.2f} pictures a second, {many / one:.2f} times as many, loss {loss_of_many:.5f}")


if __name__ == "__main__":
    main()
