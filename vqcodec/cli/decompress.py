"""vqc decompress: .vqc files to pictures."""

from __future__ import annotations

import io
import time
from functools import partial
from typing import TYPE_CHECKING

import click

from vqcodec.cli.console import print_result
from vqcodec.cli.jobs import (
    Job,
    Naming,
    Report,
    batch_flags,
    files_under,
    make_plan,
    read_input,
    run_plan,
    takes_files,
    write_output,
)

if TYPE_CHECKING:
    from vqcodec.image import Picture

DEFAULT_FORMAT = "png"


@click.command("decompress")
@takes_files
@click.option(
    "--format", "format_name", metavar="FORMAT", help="png (the default), jpg, webp, tif, avif, jp2, bmp, ppm."
)
@click.option("--model", metavar="FILE|NAME", help="The model file, for files of a model that is not shipped.")
@batch_flags
def command(
    inputs: tuple[str, ...],
    output: str | None,
    format_name: str | None,
    model: str | None,
    recursive: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Decompress .vqc files to pictures.

    Each output lies beside its input, as a PNG, unless -o or --format say otherwise; the
    suffix of OUT chooses its format.

    \b
    vqc decompress photo.vqc -o photo.png
    vqc decompress --format webp -r small/ -o photos/
    vqc decompress - < photo.vqc > photo.png
    """
    from vqcodec.image import output_format

    suffix = "." + (format_name or DEFAULT_FORMAT).removeprefix(".")
    output_format(suffix, suffix)
    plan = make_plan(inputs, Naming(suffix, output, force), recursive, partial(files_under, suffix=".vqc"))
    run_plan(plan, lambda job: _decompress(job, format_name, model, force, as_json))


def _decompress(job: Job, format_name: str | None, model: str | None, force: bool, as_json: bool) -> Report:
    from vqcodec.image import output_format, write_picture

    started = time.perf_counter()
    wanted = format_name or (job.target.suffix if job.target else DEFAULT_FORMAT)
    output_format(job.target_name, wanted)
    data = read_input(job)
    picture = _decode(data, model)
    written = io.BytesIO()
    notes = write_picture(picture, written, wanted)
    write_output(job, written.getvalue(), force)
    height, width = picture.pixels.shape[:2]
    result = {
        "input": job.name,
        "output": job.target_name,
        "width": width,
        "height": height,
        "input_bytes": len(data),
        "bytes": len(written.getvalue()),
        "seconds": round(time.perf_counter() - started, 3),
        "notes": notes,
    }
    line = f"{job.name} -> {job.target_name}: {width} x {height}, {len(data):,} -> {result['bytes']:,} bytes"
    print_result(result if as_json else line, to_stderr=job.target is None)
    return () if as_json else notes


def _decode(data: bytes, model: str | None) -> Picture:
    from vqcodec.api import open_file

    codec, parsed = open_file(data, model)
    return codec.picture_of(parsed)
