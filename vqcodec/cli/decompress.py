"""vqc decompress: .vqc files to pictures."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import click

from vqcodec.cli.batch import Batch, batch_options, run_plan
from vqcodec.cli.collection import Collection, collection_options, run_collection
from vqcodec.cli.console import name_of
from vqcodec.cli.jobs import (
    Job,
    Outcome,
    make_plan,
    opened_output,
    read_input,
    takes_files,
)
from vqcodec.cli.keeping import check_preserve, keeping_flags
from vqcodec.cli.parts import part_options
from vqcodec.cli.work import Work
from vqcodec.errors import OutputError
from vqcodec.folders import list_folder

if TYPE_CHECKING:
    from vqcodec.image import Picture

_Write = Callable[[BinaryIO], tuple[str, ...]]
"""Writes a picture into a file and returns notes on what that does not keep."""
DEFAULT_FORMAT, SUFFIX = "png", ".vqc"


@click.command("decompress")
@takes_files
@click.option(
    "--format", "format_name", metavar="FORMAT", help="png (the default), jpg, webp, tif, avif, jp2, bmp, ppm."
)
@click.option("--model", metavar="FILE|NAME", help="The model file, for files of a model that is not shipped.")
@part_options
@keeping_flags
@collection_options
@batch_options
def command(
    inputs: tuple[str, ...],
    output: str | None,
    format_name: str | None,
    model: str | None,
    batch: Batch,
    manifest: Path | None,
    engine: str,
    **options: Any,
) -> None:
    """Decompress .vqc files to pictures.

    Each output lies beside its input, as a PNG, unless -o or --format say otherwise; the
    suffix of OUT chooses its format. A file that is there already may be the original: it is
    replaced only with both -f and -o.

    \b
    vqc decompress photo.vqc -o back.png
    vqc decompress --format webp -r small/ -o photos/
    vqc decompress - < photo.vqc > photo.png
    vqc decompress photo.vqc --thumbnail 256 -o small.png
    vqc decompress small/ -o back/ --manifest back.jsonl -j 4
    """
    from vqcodec.exact import model_file
    from vqcodec.image import output_format

    suffix = "." + (format_name or DEFAULT_FORMAT).removeprefix(".")
    output_format(suffix, suffix)
    collection = Collection.asked(inputs, output, manifest, engine, batch, options["preserve"])
    if collection is not None:
        from vqcodec.cli.items import Kind

        settings = _Options(format_name, model, False, **options)
        convert, kind = partial(_convert, suffix=suffix, options=settings), partial(_with_format, suffix=suffix)
        kept = {name: getattr(settings, name) for name in ("model", "background", "crop", "thumbnail")}
        fingerprint = model and model_file.read_metadata(model_file.resolve(model)).fingerprint
        said = {"vqc": "decompress", "format": suffix, **kept, "fingerprint": fingerprint}
        run_collection(collection, Kind(_is_vqc, kind), convert, _nothing_to_prepare, said)
        return
    _check_format(format_name, inputs, output)
    renamed = partial(_with_inner_suffix, suffix=suffix, only=format_name is not None) if batch.keep_suffix else None
    naming = batch.naming(suffix, output, may_be_original=True, renamed=renamed)
    plan = make_plan(inputs, naming, batch.recursive, partial(list_folder, suffixes=(SUFFIX,)))
    check_preserve(plan, options["preserve"])
    # A file that has appeared since the plan was made is not replaced either.
    wanted = _Options(format_name, model, batch.force and output is not None, **options)
    run_plan(plan, Work(partial(_decompress, options=wanted)), batch, sums=True)


class _Options(NamedTuple):
    """What the options ask for, the same for all files."""

    format_name: str | None
    model: str | None
    force: bool
    background: str | None
    preserve: bool
    crop: tuple[int, int, int, int] | None
    thumbnail: int | None


def _with_inner_suffix(path: Path, suffix: str, only: bool) -> Path:
    """Return a.jpg for a.jpg.vqc; one more suffix where that names no format to write, or not the `only` one wanted."""
    from vqcodec.image import output_format

    inner = path.with_suffix("")
    try:
        written = output_format(inner)
    except OutputError:
        written = None
    if written is not None and (not only or written == output_format(suffix, suffix)):
        return inner
    return inner.with_name(inner.name + suffix)


def _is_vqc(name: str) -> bool:
    return name.lower().endswith(SUFFIX)


def _with_format(name: str, suffix: str) -> str:
    """Return a.png for a.png.vqc, and a.jpg.vqc.png for a.jpg.vqc: names that differ stay different."""
    inner = name.removesuffix(SUFFIX)
    # What would be a.vqc.png already is what becomes of a.vqc.
    is_so_named = inner != name and inner.endswith(suffix) and not _is_vqc(inner.removesuffix(suffix))
    return inner if is_so_named else name + suffix


def _nothing_to_prepare() -> None:
    """Files say which model they need."""


def _convert(name: str, data: bytes, suffix: str, options: _Options) -> tuple[bytes, dict[str, Any]]:
    """Return the picture's file of a .vqc file, and what a manifest says of it."""
    written, (write, (height, width)) = io.BytesIO(), _shown(data, suffix, options)
    facts = {"width": width, "height": height, "notes": write(written)}
    return written.getvalue(), {key: value for key, value in facts.items() if value}


def _shown(data: bytes, format_name: str, options: _Options) -> tuple[_Write, tuple[int, int]]:
    """Return what writes the picture of a .vqc file, and its height and width; a PNG in strips where that can be."""
    from vqcodec.api import open_file
    from vqcodec.decoder import Part
    from vqcodec.image import output_format, write_strips

    coder, parsed = open_file(data, options.model)
    part = Part(options.crop, options.thumbnail)
    is_png = output_format(format_name, format_name)[0] == "PNG"
    strips = coder.strips_of(parsed, part) if is_png else None
    if strips is not None:
        return partial(write_strips, strips), strips.grid
    picture = coder.picture_of(parsed, part)
    grid = picture.pixels.shape[:2]
    pictures = [picture]
    del picture  # so that its pixels can go as soon as Pillow has a copy of them
    return partial(_write_whole, pictures, format_name, options.background), grid


def _write_whole(pictures: list[Picture], format_name: str, background: str | None, file: BinaryIO) -> tuple[str, ...]:
    """Write the only picture of a list, which is taken from it; Pillow wants to go back and forth in what it writes."""
    from vqcodec.image import write_picture

    written = io.BytesIO()
    notes = write_picture(pictures.pop(), written, format_name, background=background)
    file.write(written.getbuffer())
    return notes


def _check_format(format_name: str | None, inputs: tuple[str, ...], output: str | None) -> None:
    """Raise OutputError where --format and the suffix of the one output contradict each other."""
    from vqcodec.image import output_format

    said = Path(output or "").suffix
    if format_name is None or not said or len(inputs) > 1 or os.path.isdir(output or ""):
        return
    if output_format(str(output), said) != output_format(format_name, format_name):
        raise OutputError(f"--format {format_name} contradicts {name_of(str(output))}; leave one of them out")


def _decompress(job: Job, options: _Options) -> Outcome:
    from vqcodec.image import output_format

    started = time.perf_counter()
    wanted = options.format_name or (job.target.suffix if job.target else DEFAULT_FORMAT)
    output_format(job.target_name, wanted)
    data = read_input(job)
    write, (height, width) = _shown(data, wanted, options)
    with opened_output(job, options.force, options.preserve) as file:
        notes = write(file)
        written_bytes = file.tell()
    result = {
        "input": job.name,
        "output": job.target_name,
        "width": width,
        "height": height,
        "input_bytes": len(data),
        "bytes": written_bytes,
        "seconds": round(time.perf_counter() - started, 3),
        "notes": notes,
    }
    line = f"{job.name} -> {job.target_name}: {width} x {height}, {len(data):,} -> {written_bytes:,} bytes"
    return Outcome(line, result, notes, aside=job.target is None)
