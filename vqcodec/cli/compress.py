"""vqc compress: pictures to .vqc files."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import click

from vqcodec.cli.console import print_result
from vqcodec.cli.jobs import Job, Naming, Report, make_plan, read_input, run_plan, write_output

if TYPE_CHECKING:
    from vqcodec.codec import Codec


@click.command("compress")
@click.argument("inputs", metavar="IN...", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option("-o", "--output", metavar="OUT", help="Output file; for several inputs, a folder. '-' is stdout.")
@click.option("-q", "--quality", type=click.FloatRange(1, 100), default=50, show_default=True, help="1..100.")
@click.option("--model", metavar="FILE|NAME", help="A model file, or the name of a shipped model.")
@click.option("-r", "--recursive", is_flag=True, help="Take folders, with all that is in them.")
@click.option("-f", "--force", is_flag=True, help="Overwrite outputs that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per file.")
def command(
    inputs: tuple[str, ...],
    output: str | None,
    quality: float,
    model: str | None,
    recursive: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Compress pictures to .vqc files.

    Each output lies beside its input, with the suffix .vqc, unless -o says otherwise. The
    pixels are kept as the picture is meant to be seen (EXIF orientation applied), with the ICC
    profile; other metadata are not kept.

    \b
    vqc compress photo.png -o photo.vqc
    vqc compress -q 30 -r photos/ -o small/
    vqc compress - < photo.png > photo.vqc
    """
    from vqcodec.api import load_model
    from vqcodec.image import find_pictures

    find = partial(find_pictures, recursive=True)
    plan = make_plan(inputs, Naming(".vqc", output, force), recursive, find)
    if plan.jobs:
        load_model(model)  # a model that cannot be used is one error, not one per picture
    run_plan(plan, lambda job: _compress(job, load_model(model), quality, force, as_json))


def _compress(job: Job, codec: Codec, quality: float, force: bool, as_json: bool) -> Report:
    from vqcodec.image import read_picture

    started = time.perf_counter()
    data = read_input(job)
    picture = read_picture(data, job.name)
    packed = codec.compress(picture, quality)
    write_output(job, packed, force)
    height, width = picture.pixels.shape[:2]
    result = {
        "input": job.name,
        "output": job.target_name,
        "width": width,
        "height": height,
        "model": codec.metadata.name,
        "quality": quality,
        "input_bytes": len(data),
        "bytes": len(packed),
        "bpp": 8 * len(packed) / (width * height),
        "seconds": round(time.perf_counter() - started, 3),
        "notes": picture.notes,
    }
    line = (
        f"{job.name} -> {job.target_name}: {width} x {height}, {len(data):,} -> {len(packed):,} bytes, "
        f"{result['bpp']:.3f} bpp"
    )
    print_result(result if as_json else line, to_stderr=job.target is None)
    return () if as_json else picture.notes
