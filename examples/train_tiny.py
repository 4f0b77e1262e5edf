"""A folder of pictures to a model, and one picture through it, from Python.

    python examples/train_tiny.py photographs/ test.png [--steps 300]

`vqc train` does the same with options; here every setting can come from a program.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import vqcodec
from vqcodec import training
from vqcodec.image import read_picture

# Each name is described in vqcodec/training/photo/settings.py; what is left out has its default.
SETTINGS = {
    "name": "tiny",
    "K": 32,
    "m": 24,
    "d": 48,
    "width": 12,
    "crop": 64,
    "batch": 4,
    "classes": 4,
    "table_rows": 4,
    "fit_crops": 16,
    "validation_pictures": 1,
}


def train(pictures: Path, output: Path, steps: int) -> None:
    """Write a model to `output`; a run that Ctrl-C has stopped goes on when the script is started again."""
    settings = training.make_settings(None, SETTINGS | {"steps": steps})
    resume = training.checkpoint_path(output).exists()
    if not training.run([pictures], output, settings, resume):
        raise SystemExit(f"stopped; the checkpoint is {training.checkpoint_path(output)}")


def psnr_db(model: Path, picture: Path, quality: float) -> tuple[int, float]:
    """Return the bytes of a picture's file under a model, and the PSNR in dB of what comes back."""
    data = vqcodec.compress(picture, quality, model)
    copy = np.asarray(vqcodec.decompress(data, model))
    error = np.square(read_picture(picture).pixels.astype(np.float64) - copy).mean()
    return len(data), 10 * math.log10(255**2 / max(error, 1e-9))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, then print a line for each of three qualities."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--output", type=Path, default=Path("tiny.safetensors"))
    options = parser.parse_args(arguments)
    train(options.pictures, options.output, options.steps)
    for quality in (20, 50, 80):
        size_bytes, quality_db = psnr_db(options.output, options.test, quality)
        print(f"quality {quality}: {size_bytes:,} bytes, {quality_db:.2f} dB")


if __name__ == "__main__":
    main()
