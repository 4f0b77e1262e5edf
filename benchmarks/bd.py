"""BD-rates of one codec against each other one, from the results of an evaluation.

    python benchmarks/bd.py docs/results/kodak.json photo [--metric psnr] [--between 26.6 37.2]

Against JPEG a codec is judged over the range that it shares with JPEG; a direct comparison is over what the two share.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from vqcodec.evaluation.eval.curves import BdRate, Curve, bd_rate


def against_others(
    results: Path, codec: str, metric: str, between: tuple[float, float] | None
) -> dict[str, BdRate | None]:
    found = json.loads(results.read_text(encoding="utf-8"))["curves"][metric]
    if codec not in found:
        raise SystemExit(f"{results} has no codec {codec!r}; choose from {', '.join(found)}")
    curves = {name: Curve(**values) for name, values in found.items()}
    return {name: bd_rate(curve, curves[codec], metric, between) for name, curve in curves.items() if name != codec}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("codec")
    parser.add_argument("--metric", default="psnr")
    parser.add_argument("--between", nargs=2, type=float, help="two values of the metric")
    options = parser.parse_args()
    between = tuple(options.between) if options.between else None
    for name, rate in against_others(options.results, options.codec, options.metric, between).items():
        print(f"{name:<12}{rate or 'no common range'}")


if __name__ == "__main__":
    main()
