"""Compress and decompress one picture, and print sizes and PSNR beside JPEG's at the same size.

python samples/demo.py PICTURE FOLDER
"""

from __future__ import annotations

import io
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

QUALITIES = (20, 50, 80)

Pixels = npt.NDArray[np.uint8]


def read_pixels(source: Path | io.BytesIO) -> Pixels:
    """The pixels uint8 [H, W, 3] of an image file."""
    with Image.open(source) as image:
        return np.asarray(image.convert("RGB"))


def psnr_db(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio over the three colors."""
    error = np.square(a.astype(np.float64) - b).mean()
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def best_jpeg(pixels: Pixels, size_bytes: int) -> bytes:
    """The finest JPEG (4:2:0, optimized) of at most `size_bytes`, or the smallest one there is."""
    best = b""
    for quality in range(1, 96):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality, optimize=True)
        if best and len(file.getvalue()) > size_bytes:
            break
        best = file.getvalue()
    return best


def vqc(*arguments: str | Path) -> None:
    """Show and run a vqc command."""
    print("$ vqc", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "vqcodec", *map(str, arguments)], check=True)


def compare(picture: Path, folder: Path, quality: int) -> str:
    """Compress and decompress at one quality; a line of the table."""
    packed = folder / f"{picture.stem}-q{quality}.vqc"
    unpacked = packed.with_suffix(".png")
    vqc("compress", "-f", "-q", str(quality), picture, "-o", packed)
    vqc("decompress", "-f", packed, "-o", unpacked)
    pixels, size = read_pixels(picture), packed.stat().st_size
    jpeg = best_jpeg(pixels, size)
    packed.with_suffix(".jpg").write_bytes(jpeg)
    bpp = 8 * size / (pixels.shape[0] * pixels.shape[1])
    ours, theirs = psnr_db(pixels, read_pixels(unpacked)), psnr_db(pixels, read_pixels(io.BytesIO(jpeg)))
    return f"{quality:>7} {size:>10,} {bpp:>6.3f} {ours:>9.2f} {len(jpeg):>11,} {theirs:>9.2f}"


def main() -> None:
    """Compare at three qualities and print the table."""
    picture, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    lines = [compare(picture, folder, quality) for quality in QUALITIES]
    vqc("info", folder / f"{picture.stem}-q{QUALITIES[1]}.vqc")
    print(f"\n{picture}, {picture.stat().st_size:,} bytes; files are in {folder}/")
    print(f"{'quality':>7} {'vqc bytes':>10} {'bpp':>6} {'PSNR dB':>9} {'JPEG bytes':>11} {'PSNR dB':>9}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
