"""How many bits our models and others need for the same looks, by measures that models were trained on and by others.

    python benchmarks/looks.py PICTURES/ [-o local/looks] [--codec perceptual ...] [--against avif] [--bpp 0.1 1.5]
        [--every 1] [--metrics psnr,ms-ssim,...] [--quality 10,30,...] [--jobs 1] [--save docs/results/looks/kodak.json]

Prints BD-rates in percent, negative for fewer bits, over the values of a measure that both codecs reach and that the
reference has between the two rates. What was measured before in the same output folder is not measured again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from kodak import evaluated

from vqcodec.cores import cores
from vqcodec.evaluation.eval import report
from vqcodec.evaluation.eval.curves import Curve, bd_rate
from vqcodec.evaluation.eval.run import Request
from vqcodec.evaluation.metrics import METRICS
from vqcodec.image import find_pictures

MEASURES = "psnr,ms-ssim,ssimulacra2,haarpsi,butteraugli,vmaf,features"


def reached(curve: Curve, metric: str, rates_bpp: tuple[float, float]) -> tuple[float, float]:
    """The values of a measure, on its axis, that a curve has at two rates."""
    values = [METRICS[metric].on_axis(value) for value in curve.values]
    low, high = np.interp(np.log(rates_bpp), np.log(curve.bpp), values)
    return float(low), float(high)


def table(results: dict[str, Any], against: str, rates_bpp: tuple[float, float]) -> list[str]:
    """The lines of a Markdown table: a row for each measure, a column for each codec but the reference."""
    first = next(iter(results["curves"].values()))
    names = [name for name in first if name != against]
    lines = ["| measure | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for metric, found in results["curves"].items():
        curves = {name: Curve(**values) for name, values in found.items()}
        between = reached(curves[against], metric, rates_bpp)
        rates = [bd_rate(curves[against], curves[name], metric, between) for name in names]
        cells = ["none" if rate is None else f"{rate.percent:+.1f} %" for rate in rates]
        lines.append(f"| {metric} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("local/looks"))
    parser.add_argument("--codec", action="append", help="to be compared; perceptual, photo and avif-444 without it")
    parser.add_argument("--against", default="avif")
    parser.add_argument("--bpp", nargs=2, type=float, default=(0.1, 1.5))
    parser.add_argument("--every", type=int, default=1, help="of the pictures take every n-th")
    parser.add_argument("--metrics", default=MEASURES)
    parser.add_argument("--quality", help="such as 10,30,50,70,90, for every codec; without it, each codec's own")
    parser.add_argument("--jobs", type=int, default=cores())
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    request = Request(
        sources=find_pictures(options.pictures)[:: options.every],
        output=options.output,
        codecs=(*(options.codec or ["perceptual", "photo", "avif-444"]), options.against),
        qualities=json.loads(f"[{options.quality or ''}]"),
        metrics=options.metrics.split(","),
        jobs=options.jobs,
    )
    results = evaluated(request)
    print("\n".join(table(results, options.against, tuple(options.bpp))))
    if options.save:
        options.save.parent.mkdir(parents=True, exist_ok=True)
        options.save.write_text(report.dumps(report.compact(results)), encoding="utf-8")


if __name__ == "__main__":
    main()
