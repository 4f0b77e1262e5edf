"""A training on 10^5 small pictures in shards: read while it goes on, and all of them in memory before.

    python benchmarks/stream.py PHOTOGRAPHS [--count 100000] [--steps 200]

The pictures are pieces of 64 x 64 of the photographs, as JPEG in .tar files of 2,000. Memory is the most that the
process had at a time.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from vqcodec.image import find_pictures, read_picture
from vqcodec.training import checkpoint, checkpoint_path

SIDE, EACH = 64, 2000
NETWORK = ["--network", "vqvae", "--quantizer", "vq"]
RECIPE = "batch = 32\ncrop = 64\nd = 64\nwidth = 0\n"


class Measured(NamedTuple):
    """Pictures a second of the steps, seconds that all else took, and the most megabytes of memory."""

    pictures_per_second: float
    other_seconds: float
    memory_mb: float


def pieces(folder: Path) -> Iterator[bytes]:
    """Yield JPEG files of random pieces of photographs, without an end."""
    numbers = np.random.default_rng(0)
    photographs = [read_picture(path).pixels for path in find_pictures(folder)[:40]]
    while True:
        pixels = photographs[numbers.integers(len(photographs))]
        top, left = (int(numbers.integers(side - SIDE)) for side in pixels.shape[:2])
        file = io.BytesIO()
        Image.fromarray(pixels[top : top + SIDE, left : left + SIDE]).save(file, "JPEG", quality=90)
        yield file.getvalue()


def write_shards(folder: Path, data: Iterator[bytes], count: int) -> None:
    """Write shards of `count` pictures in all."""
    for first in range(0, count, EACH):
        with tarfile.open(folder / f"shard-{first // EACH:04}.tar", "w") as shard:
            for number, file in enumerate(islice(data, min(EACH, count - first)), first):
                info = tarfile.TarInfo(f"{number:08}.jpg")
                info.size = len(file)
                shard.addfile(info, io.BytesIO(file))


def measured(shards: Path, steps: int, streamed: bool) -> Measured:
    """Train for some steps in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        recipe, output = Path(place) / "recipe.toml", Path(place) / "model.safetensors"
        recipe.write_text(RECIPE)
        words = ["train", str(shards), "--recipe", str(recipe), *NETWORK, "--steps", str(steps), "-o", str(output)]
        started = time.monotonic()
        run = subprocess.Popen([sys.executable, "-m", "vqcodec", *words, *(["--stream"] if streamed else [])])
        _, status, usage = os.wait4(run.pid, 0)
        seconds = time.monotonic() - started
        if status:
            raise SystemExit(f"vqc train ended with {os.waitstatus_to_exitcode(status)}")
        found = checkpoint.read(checkpoint_path(output))
    done, batch = found["progress"], found["settings"]["batch"]
    return Measured(done["step"] * batch / done["seconds"], seconds - done["seconds"], usage.ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=10**5)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        write_shards(Path(place), pieces(options.folder), options.count)
        in_memory, streamed = (measured(Path(place), options.steps, way) for way in (False, True))
    print(f"| {options.count:,} pictures | pictures a second | other seconds | memory |")
    print("|---|---|---|---|")
    for name, (rate, seconds, memory) in (("in memory", in_memory), ("streamed", streamed)):
        print(f"| {name} | {rate:.1f} | {seconds:.0f} | {memory:.0f} MB |")
    print(f"streamed: {streamed.pictures_per_second / in_memory.pictures_per_second:.3f} times as many a second")


if __name__ == "__main__":
    main()
