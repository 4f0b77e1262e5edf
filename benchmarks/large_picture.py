"""Seconds and peak memory of the command line for a very large picture, each command in a process of its own.

    python benchmarks/large_picture.py [--megapixels 100] [--source PICTURE] [--model FILE] [--quality 50] [--effort 5]

The picture is the source at twice its size, mirrored until it fills the area, with noise added so that no
two parts are alike. Prints one JSON object: sizes, and seconds and peak resident memory in MB of
`vqc compress` and `vqc decompress`, and the PSNR of what came back.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from speed import run, vqc

SOURCE = Path(__file__).parent.parent / "samples" / "coffee.png"
ASPECT = 1.5
NOISE_DEVIATION = 2.0
STRIP = 256  # rows that are worked on at a time

Image.MAX_IMAGE_PIXELS = None


def size_of(megapixels: float) -> tuple[int, int]:
    """Return the width and height of a picture of so many pixels."""
    height = round((1e6 * megapixels / ASPECT) ** 0.5)
    return round(ASPECT * height), height


def mirrored(count: int, length: int) -> npt.NDArray[np.int64]:
    """Return `count` numbers that run from 0 to length - 1 and back, again and again."""
    place = np.arange(count) % (2 * length)
    return np.minimum(place, 2 * length - 1 - place)


def draw(source: Path, size: tuple[int, int], target: Path) -> None:
    """Write the large picture."""
    with Image.open(source) as image:
        doubled = image.convert("RGB").resize((2 * image.width, 2 * image.height), Image.Resampling.BICUBIC)
    small = np.asarray(doubled)
    rows, columns = mirrored(size[1], small.shape[0]), mirrored(size[0], small.shape[1])
    pixels = np.empty((size[1], size[0], 3), np.uint8)
    random = np.random.default_rng(0)
    for top in range(0, size[1], STRIP):
        strip = small[rows[top : top + STRIP, None], columns].astype(np.float32)
        strip += NOISE_DEVIATION * random.standard_normal(strip.shape, np.float32)
        pixels[top : top + STRIP] = strip.round().clip(0, 255)
    Image.fromarray(pixels).save(target, compress_level=1)


def psnr_db(one: Path, other: Path) -> float:
    """Return the PSNR of two pictures of the same size."""
    with Image.open(one) as first, Image.open(other) as second:
        if first.size != second.size:
            raise SystemExit(f"{one} is {first.size}, {other} is {second.size}")
        a, b = np.asarray(first), np.asarray(second)
    squared = 0
    for top in range(0, len(a), STRIP):
        squared += int(np.square(a[top : top + STRIP].astype(np.int32) - b[top : top + STRIP]).sum())
    return float(10 * np.log10(255**2 * a.size / max(1, squared)))


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    picture, small, back = folder / "large.png", folder / "large.vqc", folder / "back.png"
    # Drawn elsewhere: a child's peak counts the memory of the process that it was started from.
    subprocess.run([sys.executable, __file__, *sys.argv[1:], "--draw", str(picture)], check=True)
    model = ["--model", arguments.model] if arguments.model else []
    settings = ["-q", str(arguments.quality), "-e", str(arguments.effort)]
    compressed = run(vqc("compress", str(picture), "-o", str(small), *settings, *model))
    decompressed = run(vqc("decompress", str(small), "-o", str(back), *model))
    width, height = size_of(arguments.megapixels)
    return {
        "width": width,
        "height": height,
        "quality": arguments.quality,
        "effort": arguments.effort,
        "png_bytes": picture.stat().st_size,
        "bytes": small.stat().st_size,
        "bpp": round(8 * small.stat().st_size / (width * height), 4),
        "psnr_db": round(psnr_db(picture, back), 2),
        **{
            name: {"seconds": round(seconds, 1), "peak_mb": round(peak)}
            for name, (seconds, peak) in (("compress", compressed), ("decompress", decompressed))
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=100)
    parser.add_argument("--source", type=Path, default=SOURCE)
    parser.add_argument("--model")
    parser.add_argument("--quality", type=float, default=50)
    parser.add_argument("--effort", type=int, default=5)
    parser.add_argument("--draw", type=Path, help="only draw the picture into this file")
    arguments = parser.parse_args()
    if arguments.draw:
        draw(arguments.source, size_of(arguments.megapixels), arguments.draw)
        return
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(arguments, Path(folder)), indent=1))


if __name__ == "__main__":
    main()
