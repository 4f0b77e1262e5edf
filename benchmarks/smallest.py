"""Which of two files of the same bytes measures prefer, where that many are AVIF's, or WebP's, fewest.

    python benchmarks/smallest.py PICTURES/ [--against avif webp] [--every 1] [--metrics ...]

Each picture is coded at the lowest quality of the other codec, and by `perceptual` with that file's bytes as the limit
(`vqc compress --max-bytes`). Prints bits per pixel, the mean of each measure for both, and on how many pictures ours is
better. What has no file within the limit is counted as lost.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from looks import MEASURES
from tqdm import tqdm

from vqcodec.api import load_coder
from vqcodec.choices import DEFAULT_EFFORT
from vqcodec.errors import TargetError
from vqcodec.evaluation import metrics
from vqcodec.evaluation.codecs import FORMATS, EvalCodec
from vqcodec.goals import Goal
from vqcodec.image import Picture, find_pictures, read_picture
from vqcodec.rate_control import seek

LOWEST = {"avif": 0, "webp": 0}


class Pair(NamedTuple):
    """What both files of one picture cost and what measures say of them; ours is None where there is none."""

    theirs_bpp: float
    ours_bpp: float
    halved: bool
    theirs: dict[str, float]
    ours: dict[str, float] | None


def pairs(paths: list[Path], codec: EvalCodec, names: list[str]) -> Iterator[Pair]:
    """Both files of each picture, measured."""
    coder = load_coder("perceptual")
    for path in tqdm(paths, desc=codec.name, disable=None):
        pixels = read_picture(path, background="white").pixels
        area = pixels.shape[0] * pixels.shape[1]
        other = codec.encode(pixels, LOWEST[codec.name])
        theirs = metrics.compare(names, pixels, codec.decode(other))
        try:
            found = seek(coder, Picture(pixels), Goal(max_bytes=len(other)), DEFAULT_EFFORT, lossy=True)
        except TargetError:
            yield Pair(8 * len(other) / area, float("nan"), False, theirs, None)
            continue
        ours = metrics.compare(names, pixels, coder.decompress(found.data).pixels)
        yield Pair(8 * len(other) / area, 8 * len(found.data) / area, found.is_halved, theirs, ours)


def table(found: list[Pair], name: str, names: list[str]) -> Iterator[str]:
    """The lines of a Markdown table: a row for each measure."""
    there = [pair for pair in found if pair.ours is not None]
    if not there:
        yield f"no picture of {len(found)} has a file of ours as small as that of {name}"
        return
    rates: Any = [(pair.theirs_bpp, pair.ours_bpp) for pair in there]
    theirs_bpp, ours_bpp = np.mean(rates, axis=0)
    halved = sum(pair.halved for pair in there)
    yield (
        f"{len(found)} pictures, {len(there)} of which have a file of ours, {halved} at half the size: "
        f"{theirs_bpp:.4f} bpp of {name}, {ours_bpp:.4f} of ours"
    )
    yield f"| measure | {name} | ours | ours better on |"
    yield "|---" * 4 + "|"
    for metric in names:
        both = [(pair.theirs[metric], pair.ours[metric]) for pair in there if pair.ours is not None]
        means, on_axis = np.mean(both, axis=0), metrics.METRICS[metric].on_axis
        won = sum(on_axis(ours) > on_axis(theirs) for theirs, ours in both)
        yield f"| {metric} | {means[0]:.4g} | {means[1]:.4g} | {won} of {len(found)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--against", nargs="+", choices=sorted(LOWEST), default=sorted(LOWEST))
    parser.add_argument("--every", type=int, default=1, help="of the pictures take every n-th")
    parser.add_argument("--metrics", default=MEASURES)
    options = parser.parse_args()
    paths, names = find_pictures(options.pictures)[:: options.every], options.metrics.split(",")
    for name in options.against:
        print("\n".join(table(list(pairs(paths, FORMATS[name](), names)), name, names)))


if __name__ == "__main__":
    main()
