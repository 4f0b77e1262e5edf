"""vqc compress: pictures to .vqc files."""

from __future__ import annotations

import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from vqcodec.cli.batch import Batch, batch_options, run_plan
from vqcodec.cli.collection import Collection, collection_options, run_collection
from vqcodec.cli.jobs import (
    Job,
    Outcome,
    make_plan,
    read_input,
    takes_files,
    write_output,
)
from vqcodec.cli.keeping import check_preserve, keeping_flags
from vqcodec.cli.work import Work
from vqcodec.errors import SettingsError

if TYPE_CHECKING:
    from vqcodec.coder import Coder
    from vqcodec.goals import Goal, Trial
    from vqcodec.image import Picture

SUFFIX = ".vqc"


@click.command("compress")
@takes_files
@click.option("-q", "--quality", type=click.FloatRange(1, 100), default=50, show_default=True, help="1..100.")
@click.option(
    "--target-bpp", metavar="X", type=click.FloatRange(0, min_open=True),
    help="Choose the quality whose file comes nearest to X bits per pixel, at most 0.5 % above.",
)  # fmt: skip
@click.option(
    "--target-psnr", metavar="DB", type=click.FloatRange(0, min_open=True),
    help="Choose the smallest file whose picture has a PSNR (RGB; transparency over white) of at least DB.",
)  # fmt: skip
@click.option(
    "--target-ssimulacra2", metavar="X", type=click.FloatRange(0, 100, min_open=True),
    help="Choose the smallest file whose picture has a SSIMULACRA 2 score of at least X; needs the extra `eval`.",
)  # fmt: skip
@click.option(
    "--max-bytes", metavar="N", type=click.IntRange(1),
    help="Choose the highest quality whose file has at most N bytes; with -q or a target, lower that as far as needed.",
)  # fmt: skip
@click.option(
    "-e", "--effort", type=click.IntRange(0, 9), default=3, show_default=True,
    help="0..9: more takes longer; 1 makes smaller files than 0; of --model photo a quality then looks better.",
)  # fmt: skip
@click.option(
    "--model", metavar="FILE|NAME",
    help="A model file, or the name of a shipped model.  [default: perceptual; with --target-psnr photo]",
)  # fmt: skip
@click.option(
    "--strip", type=click.Choice(("none", "gps", "all")), default="none", show_default=True,
    help="Leave out EXIF and XMP (all), or the places in them (gps).",
)  # fmt: skip
@click.option("--lossy", is_flag=True, help="Store what is drawn with loss too, even where the file gets larger.")
@click.option(
    "--half", is_flag=True,
    help="Code half the width and height, which are shown enlarged; without it only where a size needs it.",
)  # fmt: skip
@keeping_flags
@click.option("--psnr", is_flag=True, help="Measure the PSNR of each file for the --manifest.")
@collection_options
@batch_options
def command(
    inputs: tuple[str, ...],
    output: str | None,
    model: str | None,
    batch: Batch,
    psnr: bool,
    manifest: Path | None,
    engine: str,
    **wanted: Any,
) -> None:
    """Compress pictures to .vqc files.

    Each output lies beside its input, with the suffix .vqc, unless -o says otherwise. The
    pixels are kept as the picture is meant to be seen (EXIF orientation applied), with
    transparency, ICC profile, EXIF (without its thumbnail) and XMP; other metadata are not kept.

    Instead of a quality a size, a PSNR or a SSIMULACRA 2 score can be given. Then each picture is compressed a
    few times to find its quality.

    A drawn picture (a flat color, a page of text, a screen, a diagram) is stored without loss where that takes at
    most 16 bytes more, or keeps the size that is asked for; so are drawn parts around a photograph, where that
    takes fewer bytes. Where a size is asked for that no quality keeps, half the width and height are coded.

    \b
    vqc compress photo.png -o photo.vqc
    vqc compress -q 30 -r photos/ -o small/
    vqc compress -r photos/ -o small/ -j 4 --skip-existing
    vqc compress --max-bytes 100000 photo.png
    vqc compress photos/ -o small/ --manifest done.jsonl -j 4
    vqc compress s3://bucket/photos -o s3://bucket/small --manifest done.jsonl --engine ray
    vqc compress - < photo.png > photo.vqc
    """
    from vqcodec.exact import model_file
    from vqcodec.image import check_no_picture, list_pictures

    collection = Collection.asked(inputs, output, manifest, engine, batch, wanted["preserve"])
    kept = {name: wanted.pop(name) for name in _Options._fields if name in wanted}
    goal = _goal(**wanted)
    options = _Options(model or goal.model, batch.force, **kept)
    if collection is not None:
        _run_collection(collection, goal, options, psnr)
        return
    if psnr:
        raise click.UsageError("--psnr is for a --manifest; `vqc verify` measures one file")
    if output is not None and len(inputs) == 1:
        check_no_picture(Path(output), "a .vqc file", SUFFIX)
    naming = batch.naming(
        SUFFIX, output, renamed=_with_both_suffixes if batch.keep_suffix else None,
        clash="use --keep-suffix, or rename one of them",
    )  # fmt: skip
    plan = make_plan(inputs, naming, batch.recursive, list_pictures)
    check_preserve(plan, options.preserve)
    model_file.resolve(options.model)
    work = Work(partial(_compress, goal=goal, options=options), partial(_open_model, options.model))
    run_plan(plan, work, batch, sums=True)


class _Options(NamedTuple):
    """What the options ask for besides a goal, the same for all files."""

    model: str
    force: bool
    effort: int
    background: str | None
    strip: str
    lossy: bool
    half: bool
    preserve: bool


def _run_collection(collection: Collection, goal: Goal, options: _Options, psnr: bool) -> None:
    from vqcodec.cli.items import Kind
    from vqcodec.exact import model_file
    from vqcodec.image import is_picture_name

    convert = partial(_convert, goal=goal, options=options, psnr=psnr)
    kept = {name: getattr(options, name) for name in ("model", "effort", "background", "strip", "lossy", "half")}
    fingerprint = model_file.read_metadata(model_file.resolve(options.model)).fingerprint
    said = {"vqc": "compress", **asdict(goal), **kept, "fingerprint": fingerprint, "psnr": psnr}
    prepare = partial(_open_model, options.model)
    run_collection(collection, Kind(is_picture_name, _with_suffix), convert, prepare, said)


def _with_both_suffixes(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def _open_model(model: str) -> Coder:
    """Return the coder, which is kept; a model that cannot be used is one error, not one per picture."""
    from vqcodec.api import load_coder

    return load_coder(model)


def _goal(quality: float, **others: Any) -> Goal:
    """Return what the options ask for; the default quality gives way to whatever else is given."""
    from vqcodec.goals import Goal

    asked = click.get_current_context().get_parameter_source("quality") is not ParameterSource.DEFAULT
    try:
        others["target_psnr_db"] = others.pop("target_psnr")
        goal = Goal(quality if asked else None, **others)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    goal.measure.check_extra()
    return goal


def _with_suffix(name: str) -> str:
    return name + SUFFIX


def _convert(name: str, data: bytes, goal: Goal, options: _Options, psnr: bool) -> tuple[bytes, dict[str, Any]]:
    """Return the .vqc file of a picture's file, and what a manifest says of it."""
    from vqcodec.image import read_picture, shown, stripped
    from vqcodec.rate_control import seek
    from vqcodec.scores import psnr_db

    coder = _open_model(options.model)
    picture = stripped(read_picture(data, name, background=options.background), options.strip)
    effort = coder.useful_effort(options.effort)
    found = seek(coder, picture, goal, effort, lossy=options.lossy, half=options.half)
    height, width = picture.pixels.shape[:2]
    facts: dict[str, Any] = {"width": width, "height": height, "quality": found.quality, "effort": found.effort}
    if found.score is not None:
        facts[goal.measure.name] = found.score
    if found.is_lossless:
        facts["lossless"] = True
    if found.has_overlay:
        facts["overlay"] = True
    if found.is_halved:
        facts["halved"] = True
    if psnr:
        facts["psnr_db"] = round(psnr_db(*shown(picture, coder.decompress(found.data))), 3)
    return found.data, facts | ({"notes": picture.notes} if picture.notes else {})


def _compress(job: Job, goal: Goal, options: _Options) -> Outcome:
    from vqcodec.image import read_picture, stripped

    started = time.perf_counter()
    coder = _open_model(options.model)
    data = read_input(job)
    picture = stripped(read_picture(data, job.name, background=options.background), options.strip)
    input_bytes = len(data)
    del data  # of a large picture as much as what compressing it takes
    found = _seek(job, coder, picture, goal, options)
    write_output(job, found.data, options.force, options.preserve)
    height, width = picture.pixels.shape[:2]
    notes = (*picture.notes, *found.notes)
    result = {
        "input": job.name,
        "output": job.target_name,
        "width": width,
        "height": height,
        "model": coder.metadata.name,
        "quality": found.quality,
        "effort": found.effort,
        "lossless": found.is_lossless,
        "overlay": found.has_overlay,
        "halved": found.is_halved,
        **({} if found.score is None else {goal.measure.name: found.score}),
        "input_bytes": input_bytes,
        "bytes": len(found.data),
        "bpp": 8 * len(found.data) / (width * height),
        "seconds": round(time.perf_counter() - started, 3),
        "notes": notes,
    }
    line = (
        f"{job.name} -> {job.target_name}: {width} x {height}, {input_bytes:,} -> {len(found.data):,} bytes, "
        f"{result['bpp']:.3f} bpp{_found(goal, found)}"
    )
    return Outcome(line, result, notes, aside=job.target is None)


def _seek(job: Job, coder: Coder, picture: Picture, goal: Goal, options: _Options) -> Trial:
    """Return the file that was asked for; a bar on stderr shows progress where several are made to find it."""
    from vqcodec.rate_control import max_trials, seek

    effort = coder.useful_effort(options.effort)
    trials = max_trials(goal, effort)
    if trials == 1:
        return seek(coder, picture, goal, effort, lossy=options.lossy, half=options.half)
    from tqdm import tqdm

    with tqdm(total=trials, desc=job.name, unit="try", leave=False, disable=None) as bar:
        return seek(coder, picture, goal, effort, bar.update, lossy=options.lossy, half=options.half)


def _found(goal: Goal, found: Trial) -> str:
    """Return what a search has found, for the end of a line; nothing where there was none."""
    from vqcodec.rate_control import max_trials

    if found.is_lossless:
        return ", without loss"
    quality = f", quality {found.quality:g}" if max_trials(goal, found.effort) > 1 else ""
    kind = ", drawn parts without loss" if found.has_overlay else ", half the size" if found.is_halved else ""
    return kind + (quality if found.score is None else f"{quality}, {goal.measure.said.format(found.score)}")
