"""Photographs before and after, in one picture: the original, vqc, and JPEG at the size of vqc's file.

    python benchmarks/strip.py samples/chelsea.png samples/coffee.png -o docs/results/before-after.jpg -q 25

Whole photographs are compressed; the middle 320 x 240 of each is shown. The sizes are those of whole files.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from sheets import Cell, Sheet

import vqcodec

sys.path.insert(0, str(Path(__file__).parent.parent / "samples"))
from demo import Pixels, best_jpeg, read_pixels

CELL = Cell(width=320, height=240, caption=22, gap=8, letters=14)


def check_size(pixels: Pixels) -> None:
    """Exit for a picture that is smaller than what is shown."""
    height, width = pixels.shape[:2]
    if height < CELL.height or width < CELL.width:
        raise SystemExit(f"a picture of {width} x {height} is too small; give {CELL.width} x {CELL.height}")


def versions(pixels: Pixels, quality: float) -> list[tuple[str, Pixels]]:
    """Captions and pixels uint8 [H, W, 3]: the original, ours, and JPEG no larger, or its smallest."""
    ours = vqcodec.compress(pixels, quality)
    jpeg = best_jpeg(pixels, len(ours))
    raw_bytes, bpp = pixels.size, 8 * len(ours) / (pixels.shape[0] * pixels.shape[1])
    return [
        (f"original: {raw_bytes:,} bytes of pixels", pixels),
        (f"vqc -q {quality:g}: {len(ours):,} bytes, {bpp:.2f} bpp", np.asarray(vqcodec.decompress(ours))),
        (f"JPEG 4:2:0: {len(jpeg):,} bytes", read_pixels(io.BytesIO(jpeg))),
    ]


def strip(pictures: Sequence[Pixels], quality: float) -> Image.Image:
    """A row for each picture, a column for each version, a caption under each."""
    for pixels in pictures:
        check_size(pixels)
    rows = [versions(pixels, quality) for pixels in pictures]
    sheet = Sheet(len(rows), len(rows[0]), CELL)
    for y, row in enumerate(rows):
        for x, (caption, pixels) in enumerate(row):
            sheet.put(y, x, pixels, caption)
    return sheet.image


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("-q", "--quality", type=float, default=25)
    options = parser.parse_args(arguments)
    strip([read_pixels(path) for path in options.pictures], options.quality).save(
        options.output, quality=92, subsampling=0
    )


if __name__ == "__main__":
    main()
