"""CPU seconds of `vqc decompress` for a whole picture, crops and thumbnails, and how near these are to the whole.

    python benchmarks/parts.py FOLDER [--megapixels 12] [--model photo] [--quality 50] [--repeat 3]

The picture is the first nine of the folder, three by three, enlarged to fill it. Each command is a process of its own;
seconds are what it takes of all cores (user and system), the least of the repeats, which other work on the machine
changes little. PSNR is that of what comes out against the same part of the whole decoded picture, for thumbnails
resized by Pillow's LANCZOS. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from large_picture import size_of
from PIL import Image

from vqcodec.image import find_pictures

ACROSS = 3
CROP = 512
THUMBNAILS = (256, 512, 1024)


def draw(folder: Path, size: tuple[int, int], target: Path) -> None:
    """Write the large picture."""
    sources = find_pictures(folder)[: ACROSS**2]
    if len(sources) < ACROSS**2:
        raise SystemExit(f"{folder} has {len(sources)} pictures; {ACROSS**2} are needed")
    edges = [[round(side * n / ACROSS) for n in range(ACROSS + 1)] for side in size]
    canvas = Image.new("RGB", size)
    for number, source in enumerate(sources):
        y, x = divmod(number, ACROSS)
        cell = edges[0][x + 1] - edges[0][x], edges[1][y + 1] - edges[1][y]
        with Image.open(source) as image:
            canvas.paste(image.convert("RGB").resize(cell, Image.Resampling.LANCZOS), (edges[0][x], edges[1][y]))
    canvas.save(target, compress_level=1)


def vqc(*arguments: object) -> float:
    """Return the CPU seconds of a command that must end well."""
    before = os.times()
    subprocess.run([sys.executable, "-m", "vqcodec", *map(str, arguments)], check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def psnr_db(shown: Image.Image, wanted: Image.Image) -> float:
    """Return the PSNR of one picture against another of its size; 99 dB for the same."""
    error = np.square(np.asarray(shown, np.float64) - np.asarray(wanted)).mean()
    return float(10 * np.log10(255**2 / error)) if error else 99.0


def parts(size: tuple[int, int]) -> list[tuple[str, list[str], Callable[[Image.Image], Image.Image]]]:
    """Return a name, the options, and what should come out of the whole, for each part."""
    x, y = (side // 2 - CROP // 2 for side in size)
    made = [
        ("the whole", [], lambda whole: whole),
        (
            f"crop {CROP} x {CROP} in the middle",
            ["--crop", f"{CROP}x{CROP}+{x}+{y}"],
            lambda whole: whole.crop((x, y, x + CROP, y + CROP)),
        ),
        (f"crop {CROP} x {CROP} in the corner", ["--crop", f"{CROP}x{CROP}+0+0"], lambda w: w.crop((0, 0, CROP, CROP))),
    ]
    for most in THUMBNAILS:
        small = max(1, round(size[0] * most / max(size))), max(1, round(size[1] * most / max(size)))
        made.append(
            (
                f"thumbnail {most}",
                ["--thumbnail", str(most)],
                lambda whole, small=small: whole.resize(small, Image.Resampling.LANCZOS),  # type: ignore[misc]
            )
        )
    return made


def measure(arguments: argparse.Namespace, folder: Path) -> None:
    """Print the table."""
    size = size_of(arguments.megapixels)
    large, file, whole, out = (folder / name for name in ("large.png", "large.vqc", "whole.ppm", "out.ppm"))
    draw(arguments.folder, size, large)
    vqc("compress", large, "-o", file, "--model", arguments.model, "-q", arguments.quality, "-e", 1)
    vqc("decompress", file, "-o", whole)
    print(f"{size[0]} x {size[1]} pixels, {file.stat().st_size:,} bytes, model {arguments.model}\n")
    print("| part | CPU seconds | of the whole | PSNR |\n|---|---|---|---|")
    total = 0.0
    for name, options, wanted in parts(size):
        seconds = min(vqc("decompress", file, "-f", "-o", out, *options) for _ in range(arguments.repeat))
        total = total or seconds
        with Image.open(whole) as first, Image.open(out) as second:
            db = psnr_db(second, wanted(first))
        print(f"| {name} | {seconds:.1f} | 1/{total / seconds:.1f} | {'equal' if db == 99.0 else f'{db:.1f} dB'} |")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--model", default="photo")
    parser.add_argument("--quality", type=float, default=50)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments, Path(folder))


if __name__ == "__main__":
    main()
