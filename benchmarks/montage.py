"""Eight pictures in one, to be looked at side by side: the middle 384 x 256 of every n-th picture of a folder.

    python benchmarks/montage.py PICTURES/ montage.png [--every 3] [--count 8]

The crops lie two in a row, in the order of the names. `vqc compare montage.png` then makes one page of them all.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vqcodec.errors import InputError, VqcError
from vqcodec.image import Picture, find_pictures, read_picture, write_picture

WIDTH, HEIGHT, IN_A_ROW = 384, 256, 2
Pixels = npt.NDArray[np.uint8]


def middle(pixels: Pixels) -> Pixels:
    """The middle 384 x 256 of a picture that is at least as large."""
    top, left = (pixels.shape[0] - HEIGHT) // 2, (pixels.shape[1] - WIDTH) // 2
    return pixels[top : top + HEIGHT, left : left + WIDTH]


def montage(folder: Path, every: int, count: int) -> Pixels:
    """The crops of the first `count` pictures as uint8 [H, W, 3]."""
    pictures = [read_picture(path).pixels for path in find_pictures(folder)[::every]]
    large = [pixels for pixels in pictures if pixels.shape[0] >= HEIGHT and pixels.shape[1] >= WIDTH][:count]
    if len(large) < count or count % IN_A_ROW:
        raise InputError(
            f"{folder} has {len(large)} such pictures of 384 x 256 or more; choose an even --count of them"
        )
    crops = [middle(pixels) for pixels in large]
    rows = [np.concatenate(crops[i : i + IN_A_ROW], axis=1) for i in range(0, count, IN_A_ROW)]
    return np.concatenate(rows)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--count", type=int, default=8)
    return parser.parse_args(arguments)


def main() -> None:
    options = parse()
    try:
        write_picture(Picture(montage(options.folder, options.every, options.count)), options.output, force=True)
    except VqcError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
