"""What lies beyond photographs of the usual quality: flat pictures, and the highest qualities.

    python benchmarks/extremes.py KODAK/ [--model FILE] [--effort 3] [--every 6]

Prints one JSON object: for flat pictures of 640 x 480 bytes and how far channels are off, in levels, at most and in the
mean, of the file that a person gets and of one of indices; for photographs mean bpp and PSNR at the highest qualities.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from vqcodec.codec import Codec
from vqcodec.evaluation.metrics import psnr
from vqcodec.goals import Goal
from vqcodec.image import Picture, find_pictures, read_picture
from vqcodec.rate_control import seek

COLORS = {"gray": (128, 128, 128), "black": (0, 0, 0), "orange": (240, 80, 0)}
FLAT_QUALITIES, TOP_QUALITIES = (20.0, 50.0, 80.0), (90.0, 95.0, 100.0)


def flat(codec: Codec, color: tuple[int, int, int], quality: float, effort: int, lossy: bool) -> dict[str, float]:
    pixels = np.full((480, 640, 3), color, np.uint8)
    data = seek(codec, Picture(pixels), Goal(quality), effort, lossy=lossy).data
    off = codec.decompress(data).pixels.astype(int) - pixels
    return {
        "bytes": len(data),
        "most_levels": int(np.abs(off).max()),
        "mean_levels": round(float(np.abs(off.mean((0, 1))).max()), 2),
    }


def top(codec: Codec, paths: list[Path], quality: float, effort: int) -> dict[str, float]:
    bpp, psnr_db = [], []
    for path in paths:
        pixels = read_picture(path).pixels
        data = codec.compress(Picture(pixels), quality, effort)
        bpp.append(8 * len(data) / (pixels.shape[0] * pixels.shape[1]))
        psnr_db.append(psnr(pixels, codec.decompress(data).pixels))
    return {"bpp": round(float(np.mean(bpp)), 3), "psnr_db": round(float(np.mean(psnr_db)), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--effort", type=int, default=3)
    parser.add_argument("--every", type=int, default=6, help="take every n-th photograph")
    options = parser.parse_args()
    codec, paths = Codec.open(options.model), find_pictures(options.folder)[:: options.every]
    result: dict[str, Any] = {"model": codec.metadata.fingerprint, "effort": options.effort, "pictures": len(paths)}
    for kind, lossy in (("flat", False), ("flat_lossy", True)):
        result[kind] = {
            name: {f"{quality:g}": flat(codec, color, quality, options.effort, lossy) for quality in FLAT_QUALITIES}
            for name, color in COLORS.items()
        }
    result["top"] = {f"{quality:g}": top(codec, paths, quality, options.effort) for quality in TOP_QUALITIES}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
