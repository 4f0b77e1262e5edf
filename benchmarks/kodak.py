"""The evaluation that README.md and docs/benchmarks.md quote: ours beside the formats that browsers and phones read.

    python benchmarks/kodak.py FOLDER_OF_KODAK [-o local/kodak] [--codec my.safetensors ...] [--save docs/results]

Prints the BD-rates against JPEG 4:2:0. With --save it also writes kodak.json, which has the means but
not the rows of single pictures, and the plots there; then `python benchmarks/readme_results.py` puts
them into README.md. What was measured before in the same output folder is not measured again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vqcodec.cores import cores
from vqcodec.errors import VqcError
from vqcodec.evaluation.eval import report
from vqcodec.evaluation.eval.run import Request, run

FORMATS = ("jpeg", "jpeg-444", "webp", "avif", "avif-444", "avif-psnr", "jpeg2000", "jxl")
METRICS = ("psnr", "ms-ssim")
ANCHORS = ("vtm", "bpg444", "mbt2018")


def progress(rows: Iterable[dict[str, Any]], total: int) -> Iterable[dict[str, Any]]:
    return tqdm(rows, total=total, unit="file")


def evaluated(request: Request) -> dict[str, Any]:
    """The results of an evaluation, with progress and notes on stderr; SystemExit with a sentence where it fails."""
    try:
        return run(request, lambda sentence: print(sentence, file=sys.stderr), progress)
    except VqcError as error:
        raise SystemExit(str(error)) from error


def print_bd_rates(results: dict[str, Any]) -> None:
    for row in report.bd_table(results):
        print(f"{row[0]:<26}" + "".join(f"{cell:>26}" for cell in row[1:]))
    print(f"against {results['bd_rate']['reference']}; {results['bd_rate']['method']}, in brackets")


def save(results: dict[str, Any], source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    (target / "kodak.json").write_text(report.dumps(report.compact(results)), encoding="utf-8")
    for metric in METRICS:
        shutil.copyfile(source / f"rd-{metric}.svg", target / f"kodak-{metric}.svg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("local/kodak"))
    parser.add_argument(
        "--codec", action="append", help="a model of ours, instead of photo and perceptual; may be repeated"
    )
    parser.add_argument("--quality", help="such as 10,30,50,70,90, for every codec; without it, each codec's own")
    parser.add_argument("--jobs", type=int, default=cores())
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    request = Request(
        sources=[options.folder],
        output=options.output,
        codecs=(*(options.codec or ["photo", "perceptual"]), *FORMATS),
        qualities=json.loads(f"[{options.quality or ''}]"),
        metrics=METRICS,
        anchors=ANCHORS,
        jobs=options.jobs,
    )
    results = evaluated(request)
    print_bd_rates(results)
    if options.save:
        save(results, options.output, options.save)


if __name__ == "__main__":
    main()
