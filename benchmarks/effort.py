"""What effort buys: BD-rate against effort 1 and seconds a picture, over a folder of pictures.

    python benchmarks/effort.py PICTURES/ [--model FILE] [--efforts 1,3,9] [--qualities 20,40,60,80] [--every 1]

A point of a curve is the mean of bpp and PSNR over the pictures at one quality, from real files. Prints one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from vqcodec.codec import Codec
from vqcodec.evaluation.eval.curves import Curve, bd_rate
from vqcodec.evaluation.metrics import psnr
from vqcodec.image import find_pictures, read_picture


def curve(
    codec: Codec, pictures: list[npt.NDArray[np.uint8]], qualities: list[float], effort: int
) -> tuple[list[tuple[float, float]], float]:
    """Return (bpp, dB) for each quality and the seconds that a picture takes to encode."""
    points, spent = [], 0.0
    for quality in tqdm(qualities, desc=f"effort {effort}", unit="quality"):
        values = []
        for pixels in pictures:
            started = time.perf_counter()
            encoded = codec.encode(pixels, quality, effort)
            spent += time.perf_counter() - started
            size = len(codec.pack(encoded))
            values.append((8 * size / (pixels.shape[0] * pixels.shape[1]), psnr(pixels, codec.decode(encoded))))
        mean = np.mean(values, axis=0)
        points.append((float(mean[0]), float(mean[1])))
    return points, spent / len(qualities) / len(pictures)


def difference(reference: list[tuple[float, float]], points: list[tuple[float, float]]) -> float | None:
    """Return how many percent more bits one curve takes than another for the same PSNR."""
    curves = [Curve(str(i), *map(tuple, zip(*each, strict=True))) for i, each in enumerate((reference, points))]
    found = bd_rate(curves[0], curves[1], "psnr")
    return None if found is None else round(found.percent, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--efforts", default="1,3,9")
    parser.add_argument("--qualities", default="20,40,60,80")
    parser.add_argument("--every", type=int, default=1, help="take every n-th picture of the folder")
    options = parser.parse_args()
    codec = Codec.open(options.model)
    pictures = [read_picture(path).pixels for path in find_pictures(options.folder)[:: options.every]]
    qualities = [float(q) for q in options.qualities.split(",")]
    reference, result = None, {}
    for effort in map(int, options.efforts.split(",")):
        points, seconds = curve(codec, pictures, qualities, effort)
        reference = reference or points
        result[effort] = {
            "points": [(round(b, 4), round(d, 3)) for b, d in points],
            "bd_rate_percent": difference(reference, points),
            "seconds": round(seconds, 2),
        }
    print(json.dumps({"model": codec.metadata.fingerprint, "pictures": len(pictures), "efforts": result}))


if __name__ == "__main__":
    main()
