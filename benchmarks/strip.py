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
from PIL import Image, ImageDraw, ImageFont

import vqcodec

sys.path.insert(0, str(Path(__file__).parent.parent / "samples"))
from demo import Pixels, best_jpeg, read_pixels

WIDTH, HEIGHT, CAPTION, GAP = 320, 240, 22, 8


def middle(pixels: Pixels) -> Pixels:
    """The middle of a picture that is at least as large as what is shown."""
    top, left = (pixels.shape[0] - HEIGHT) // 2, (pixels.shape[1] - WIDTH) // 2
    if top < 0 or left < 0:
        raise SystemExit(f"a picture of {pixels.shape[1]} x {pixels.shape[0]} is too small; give {WIDTH} x {HEIGHT}")
    return pixels[top : top + HEIGHT, left : left + WIDTH]


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
    rows = [versions(pixels, quality) for pixels in pictures]
    width = len(rows[0]) * (WIDTH + GAP) - GAP
    image = Image.new("RGB", (width, len(rows) * (HEIGHT + CAPTION)), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    for y, row in enumerate(rows):
        for x, (caption, pixels) in enumerate(row):
            left, top = x * (WIDTH + GAP), y * (HEIGHT + CAPTION)
            image.paste(Image.fromarray(middle(pixels)), (left, top))
            draw.text((left + 2, top + HEIGHT + 2), caption, "black", font)
    return image


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
