"""Pages of text, screens and diagrams: what vqc stores them in, beside AVIF at equal quality and formats without loss.

    python benchmarks/drawn.py [FILE...] [--only NAME...] [-q 50] [--effort 3] [--model FILE]

Without files it draws the pictures of drawn_pictures.py, or those that are named. Prints a table for
docs/benchmarks.md: the bytes that `vqc compress` makes and whether they, or drawn parts, are without loss, those of
`--lossy` with their PSNR, lossless WebP (method 6, quality 100), optimized PNG, and AVIF 4:4:4 at the lowest quality
that has 35, 40 and 45 dB.
"""

from __future__ import annotations

import argparse
import io
from functools import partial
from pathlib import Path

import numpy as np
from drawn_pictures import PICTURES, Pixels, pixels_of
from PIL import Image

from vqcodec.api import load_coder
from vqcodec.coder import Coder
from vqcodec.evaluation.codecs import Avif444
from vqcodec.goals import Goal
from vqcodec.image import Picture, read_picture
from vqcodec.rate_control import seek
from vqcodec.scores import psnr_db

TARGETS_DB = (35, 40, 45)
HEAD = (
    "picture",
    "vqc",
    "`--lossy`",
    "WebP",
    "PNG",
    *(f"AVIF {target} dB" for target in TARGETS_DB),
    "vqc / AVIF 40 dB",
)


def lossless(pixels: Pixels, format: str, **options: object) -> int:
    """Bytes of a file that Pillow writes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.tell()


class Avifs:
    """The AVIF files of a picture that have been made so far: bytes and PSNR by quality."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels, self.codec = pixels, Avif444()
        self.made: dict[int, tuple[int, float]] = {}

    def reaching(self, target_db: float) -> int | None:
        """Bytes of the lowest quality that has so many dB, by halving, or None: PSNR rises with the quality."""
        low, high, found = 0, 101, None
        while high - low > 1:
            quality = (low + high) // 2
            size, reached_db = self.file(quality)
            if reached_db >= target_db:
                high, found = quality, size
            else:
                low = quality
        return found

    def file(self, quality: int) -> tuple[int, float]:
        """Bytes and PSNR of one quality."""
        if quality not in self.made:
            data = self.codec.encode(self.pixels, quality)
            self.made[quality] = len(data), psnr_db(self.pixels, self.codec.decode(data))
        return self.made[quality]


def row(name: str, pixels: Pixels, coder: Coder, quality: float, effort: int) -> list[str]:
    """A picture's row of the table."""
    picture = Picture(pixels)
    lossy = seek(coder, picture, Goal(quality), effort, lossy=True)
    ours = seek(coder, picture, Goal(quality), effort)
    copy = coder.decompress(ours.data).pixels
    assert ours.is_lossless == bool(np.array_equal(copy, pixels)), "a file without loss is exact, and only that"
    others = [lossless(pixels, "WEBP", lossless=True, method=6, quality=100), lossless(pixels, "PNG", optimize=True)]
    avifs = Avifs(pixels)
    others += [avifs.reaching(target) for target in TARGETS_DB]
    parts = ", drawn parts without loss" if ours.has_overlay else ""
    share = "–" if others[3] is None else f"{len(ours.data) / others[3]:.2f}"
    return [
        f"{name}, {pixels.shape[1]} × {pixels.shape[0]}",
        f"{len(ours.data):,}, " + ("without loss" if ours.is_lossless else f"{psnr_db(pixels, copy):.1f} dB{parts}"),
        f"{len(lossy.data):,}, {psnr_db(pixels, coder.decompress(lossy.data).pixels):.1f} dB",
        *("–" if size is None else f"{size:,}" for size in others),
        share,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--only", nargs="+", choices=PICTURES, default=list(PICTURES), metavar="NAME")
    parser.add_argument("-q", "--quality", type=float, default=50)
    parser.add_argument("--effort", type=int, default=3)
    parser.add_argument("--model")
    options = parser.parse_args()
    coder = load_coder(options.model)
    pictures = {path.name: partial(lambda path: read_picture(path).pixels, path) for path in options.files}
    pictures = pictures or {name: partial(pixels_of, name) for name in options.only}
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD), flush=True)
    for name, make in pictures.items():
        print("| " + " | ".join(row(name, make(), coder, options.quality, options.effort)) + " |", flush=True)


if __name__ == "__main__":
    main()
