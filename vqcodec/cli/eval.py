"""vqc eval: bitrate against quality, ours beside other codecs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from vqcodec.cli.console import AnyPath, print_error, print_result
from vqcodec.cli.devices import device_option, use_device
from vqcodec.cli.engines import PROCESSES, RAY
from vqcodec.cores import cores
from vqcodec.files import check_input


def split(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Return the parts of a list with commas; an option's callback."""
    return tuple(part.strip() for part in (value or "").split(",") if part.strip())


def split_numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...]:
    """Return the numbers of a list with commas; an option's callback."""
    try:
        return tuple(map(float, split(ctx, param, value)))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a list of numbers such as 10,30,50", ctx, param) from error


@click.command("eval")
@click.argument("sources", metavar="IMAGES...", nargs=-1, required=True, type=AnyPath())
@click.option(
    "-o", "--output", metavar="FOLDER", type=AnyPath(), default="results", show_default=True,
    help="Folder for the results; one that has some already of the same pictures is completed.",
)  # fmt: skip
@click.option(
    "--codec", "codecs", metavar="NAME|FILE", multiple=True,
    help="A codec to measure; may be given several times. A shipped model's name, a model file, jpeg, jpeg-444, "
    "webp, avif, avif-444, avif-psnr, jpeg2000 or jxl. Without it: photo, perceptual, jpeg, webp, avif, avif-psnr, "
    "jpeg2000 and, where its plugin is installed, jxl.",
)  # fmt: skip
@click.option(
    "--quality", "qualities", metavar="Q,Q,...", callback=split_numbers,
    help="Qualities 1..100 for every codec. Without it, seven of each codec's own.",
)  # fmt: skip
@click.option(
    "--metrics", metavar="NAME,...", callback=split, default="psnr,psnr-y,ms-ssim,ssimulacra2", show_default=True,
    help="What to measure: psnr, psnr-y, ssim, ms-ssim, ssimulacra2, haarpsi, vif, and, where their weights can be "
    "had, features, lpips, dists, rfid.",
)  # fmt: skip
@click.option(
    "--anchors", metavar="NAME,...", callback=split,
    help="Published curves to draw beside ours, such as vtm, av1, bpg444, mbt2018, elic2022; all but those that begin "
    "with clic2020-professional/ are of Kodak's pictures.",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), help="Pictures at a time. Without it, one for each processor core.")
@click.option(
    "--engine", type=click.Choice((PROCESSES, RAY)), default=PROCESSES, show_default=True,
    help="What measures: --jobs processes of this machine, or actors of a Ray cluster.",
)  # fmt: skip
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print the BD-rates as one line of JSON instead of a table.")
@click.option("-f", "--force", is_flag=True, help="Start anew in a folder that holds other results.")
def command(
    sources: tuple[Path, ...], jobs: int | None, engine: str, device: str | None, as_json: bool, **options: Any
) -> None:
    """Measure codecs on pictures: bytes of real files against quality.

    FOLDER gets results.json and results.csv (every picture, codec and quality, with seconds and
    memory), plots as PNG and SVG, and report.html with all of it. What was measured is kept as it
    comes: the same command goes on after an interruption, and other codecs, qualities or metrics
    are added to it.

    \b
    vqc eval photos/ -o results/
    vqc eval photos/ --codec my.safetensors --codec avif --quality 10,30,50
    vqc eval kodak/ --anchors vtm,av1 --metrics psnr,ms-ssim
    """
    if not any(os.path.exists(source) for source in sources):
        check_input(sources[0])
    use_device(device)
    from vqcodec.evaluation.eval import report
    from vqcodec.evaluation.eval.run import Request, run

    request = Request(sources=sources, jobs=jobs or cores(), ray=engine == RAY, **options)
    results = run(request, print_error, _with_bar)
    if as_json:
        print_result(_facts(results, request.output))
        return
    for line in _table(report.bd_table(results)):
        print_result(line)
    if results["bd_rate"]["labels"]:
        print_result(f"against {results['bd_rate']['reference']}; {results['bd_rate']['method']}, in brackets")
    print_result(_summary(results, request.output))


def _with_bar(rows: Iterable[dict[str, Any]], total: int) -> Iterable[dict[str, Any]]:
    from tqdm import tqdm

    bar: Iterable[dict[str, Any]] = tqdm(rows, total=total, unit="file", disable=None)
    return bar


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([f"{row[0]:<{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]


def _summary(results: dict[str, Any], output: Path) -> str:
    count = len(results["pictures"])
    text = f"{output / 'report.html'}: {count} picture{'s' * (count != 1)}"
    for key, what in (("skipped", "unreadable skipped"), ("failures", "measurements failed")):
        if results[key]:
            text += f", {len(results[key])} {what}"
    return text


def _facts(results: dict[str, Any], output: Path) -> dict[str, Any]:
    return {
        "output": str(output),
        "pictures": len(results["pictures"]),
        "skipped": len(results["skipped"]),
        "failures": len(results["failures"]),
        "bd_rate": results["bd_rate"],
    }
