"""vqc compress: pictures to .vqc files."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from vqcodec.cli.batch import Batch, batch_options, run_plan
from vqcodec.cli.jobs import (
    Job,
    Outcome,
    check_preserve,
    keeping_flags,
    make_plan,
    read_input,
    takes_files,
    write_output,
)
from vqcodec.cli.pool import Work
from vqcodec.errors import SettingsError

if TYPE_CHECKING:
    from vqcodec.codec import Codec
    from vqcodec.image import Picture
    from vqcodec.rate_control import Goal, Trial

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
    help="0..9: more takes longer; 1 makes smaller files than 0, and from there on the same quality looks better.",
)  # fmt: skip
@click.option("--model", metavar="FILE|NAME", help="A model file, or the name of a shipped model.")
@click.option(
    "--strip", type=click.Choice(("none", "gps", "all")), default="none", show_default=True,
    help="Leave out EXIF and XMP (all), or the places in them (gps).",
)  # fmt: skip
@keeping_flags
@batch_options
def command(inputs: tuple[str, ...], output: str | None, model: str | None, batch: Batch, **wanted: Any) -> None:
    """Compress pictures to .vqc files.

    Each output lies beside its input, with the suffix .vqc, unless -o says otherwise. The
    pixels are kept as the picture is meant to be seen (EXIF orientation applied), with
    transparency, ICC profile, EXIF (without its thumbnail) and XMP; other metadata are not kept.

    Instead of a quality a size, a PSNR or a SSIMULACRA 2 score can be given. Then each picture is compressed a
    few times to find its quality.

    \b
    vqc compress photo.png -o photo.vqc
    vqc compress -q 30 -r photos/ -o small/
    vqc compress -r photos/ -o small/ -j 4 --skip-existing
    vqc compress --max-bytes 100000 photo.png
    vqc compress - < photo.png > photo.vqc
    """
    from vqcodec.exact import model_file
    from vqcodec.image import check_no_picture, list_pictures

    options = _Options(model, batch.force, **{name: wanted.pop(name) for name in _Options._fields if name in wanted})
    goal = _goal(**wanted)
    if output is not None and len(inputs) == 1:
        check_no_picture(Path(output), "a .vqc file", SUFFIX)
    naming = batch.naming(
        SUFFIX, output, renamed=_with_both_suffixes if batch.keep_suffix else None,
        clash="use --keep-suffix, or rename one of them",
    )  # fmt: skip
    plan = make_plan(inputs, naming, batch.recursive, list_pictures)
    check_preserve(plan, options.preserve)
    model_file.resolve(model)
    work = Work(partial(_compress, goal=goal, options=options), partial(_open_model, model))
    run_plan(plan, work, batch, sums=True)


class _Options(NamedTuple):
    """What the options ask for besides a goal, the same for all files."""

    model: str | None
    force: bool
    effort: int
    background: str | None
    strip: str
    preserve: bool


def _with_both_suffixes(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def _open_model(model: str | None) -> Codec:
    """Return the codec, which is kept; a model that cannot be used is one error, not one per picture."""
    # What can be wrong without torch has been said before the seconds that it takes to import.
    from vqcodec.api import load_model

    return load_model(model)


def _goal(quality: float, **others: Any) -> Goal:
    """Return what the options ask for; the default quality gives way to whatever else is given."""
    from vqcodec.rate_control import Goal

    asked = click.get_current_context().get_parameter_source("quality") is not ParameterSource.DEFAULT
    try:
        others["target_psnr_db"] = others.pop("target_psnr")
        goal = Goal(quality if asked else None, **others)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    goal.measure.check_extra()
    return goal


def _compress(job: Job, goal: Goal, options: _Options) -> Outcome:
    from vqcodec.image import read_picture, stripped
    from vqcodec.image.lossless import smaller_without_loss

    started = time.perf_counter()
    codec = _open_model(options.model)
    data = read_input(job)
    picture = stripped(read_picture(data, job.name, background=options.background), options.strip)
    found = _seek(job, codec, picture, goal, codec.useful_effort(options.effort))
    write_output(job, found.data, options.force, options.preserve)
    height, width = picture.pixels.shape[:2]
    drawn = smaller_without_loss(picture, len(found.data))
    notes = (*picture.notes, *found.notes, *([drawn] if drawn else []))
    result = {
        "input": job.name,
        "output": job.target_name,
        "width": width,
        "height": height,
        "model": codec.metadata.name,
        "quality": found.quality,
        "effort": found.effort,
        **({} if found.score is None else {goal.measure.name: found.score}),
        "input_bytes": len(data),
        "bytes": len(found.data),
        "bpp": 8 * len(found.data) / (width * height),
        "seconds": round(time.perf_counter() - started, 3),
        "notes": notes,
    }
    line = (
        f"{job.name} -> {job.target_name}: {width} x {height}, {len(data):,} -> {len(found.data):,} bytes, "
        f"{result['bpp']:.3f} bpp{_found(goal, found)}"
    )
    return Outcome(line, result, notes, aside=job.target is None)


def _seek(job: Job, codec: Codec, picture: Picture, goal: Goal, effort: int) -> Trial:
    """Return the file that was asked for; a bar on stderr shows progress where several are made to find it."""
    from vqcodec.rate_control import seek

    trials = goal.max_trials(effort)
    if trials == 1:
        return seek(codec, picture, goal, effort)
    from tqdm import tqdm

    with tqdm(total=trials, desc=job.name, unit="try", leave=False, disable=None) as bar:
        return seek(codec, picture, goal, effort, bar.update)


def _found(goal: Goal, found: Trial) -> str:
    """Return what a search has found, for the end of a line; nothing where there was none."""
    quality = f", quality {found.quality:g}" if goal.max_trials(found.effort) > 1 else ""
    return quality if found.score is None else f"{quality}, {goal.measure.said.format(found.score)}"
