"""vqc verify: whether a .vqc file decodes, and how near it comes to its original."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vqcodec.cli.batch import Batch, run_plan
from vqcodec.cli.console import STANDARD, AnyPath
from vqcodec.cli.devices import device_option, use_device
from vqcodec.cli.jobs import Job, Outcome, Plan, read_input
from vqcodec.cli.keeping import color_option
from vqcodec.cli.work import Work
from vqcodec.errors import InputError, SettingsError, VqcError

if TYPE_CHECKING:
    from vqcodec.image import Picture
    from vqcodec.scores import Pixels


@click.command("verify")
@click.argument("original", metavar="PICTURE", type=AnyPath(None))
@click.argument("packed", metavar="FILE", type=AnyPath(None))
@click.option(
    "--min-psnr", "min_psnr_db", metavar="DB", type=click.FloatRange(0, max_open=True, max=float("inf")),
    help="Fail where the PSNR (RGB) is below DB.",
)  # fmt: skip
@click.option(
    "--background", metavar="COLOR", default="white", show_default=True, callback=color_option,
    help="Lay what is transparent over this color; the one that FILE was made with, if it was made with one.",
)  # fmt: skip
@click.option("--model", metavar="FILE|NAME", help="The model file, for files of a model that is not shipped.")
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def command(
    original: str,
    packed: str,
    min_psnr_db: float | None,
    background: str,
    model: str | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Decode FILE, a .vqc file, and compare it with PICTURE, its original.

    The exit code is 0 where all is well, and 1 where FILE does not decode to the indices that it was written with, has
    another size than PICTURE, or a PSNR below --min-psnr. SSIMULACRA 2 is said where the extra `eval` is installed.
    Of pictures with transparency both are laid over the same color, so that colors that nobody sees do not count.

    \b
    vqc verify photo.png photo.vqc
    vqc verify --min-psnr 35 photo.png photo.vqc || echo too far
    """
    if original == packed == STANDARD:
        raise SettingsError("'-' stands for one file; name the other one")
    use_device(device)
    source, job = (Job(None if name == STANDARD else Path(name), None) for name in (original, packed))
    work = Work(partial(_verify, source=source, model=model, min_psnr_db=min_psnr_db, background=background))
    run_plan(Plan([job]), work, Batch(as_json=as_json))


def _verify(job: Job, source: Job, model: str | None, min_psnr_db: float | None, background: str) -> Outcome:
    from vqcodec.api import load_coder
    from vqcodec.exact import model_file
    from vqcodec.exact.bitstream import container
    from vqcodec.image import read_picture, shown
    from vqcodec.scores import psnr_db

    data = read_input(job)
    parsed = container.read(data)
    path = model_file.needed(parsed.header.fingerprint, model)
    picture = read_picture(read_input(source), source.name, background=None)
    _check_size(picture, parsed.header.width, parsed.header.height, job, source)
    compared = shown(picture, load_coder(path).picture_of(parsed), background)
    reached_db = psnr_db(*compared)
    score, notes = _ssimulacra2(*compared)
    height, width = picture.pixels.shape[:2]
    facts = {
        "original": source.name,
        "file": job.name,
        "width": width,
        "height": height,
        "bytes": len(data),
        "quality": parsed.header.quality,
        "psnr_db": reached_db,
        "ssimulacra2": score,
        "notes": notes,
    }
    line = f"{job.name}: {width} x {height}, decodes, PSNR {reached_db:.2f} dB"
    line += "" if score is None else f", SSIMULACRA 2 {score:.2f}"
    fault = ""
    if min_psnr_db is not None and reached_db < min_psnr_db:
        fault = f"the PSNR of {reached_db:.2f} dB is below {min_psnr_db:g}; compress it at a higher quality"
    return Outcome(line, facts, notes, fault=fault)


def _check_size(picture: Picture, width: int, height: int, job: Job, source: Job) -> None:
    """Raise InputError where a file is of another size than its original."""
    if picture.pixels.shape[:2] != (height, width):
        theirs = " x ".join(map(str, picture.pixels.shape[1::-1]))
        raise InputError(
            f"{job.name} is {width} x {height} and {source.name} is {theirs}; name the picture that it was made from"
        )


def _ssimulacra2(original: Pixels, copy: Pixels) -> tuple[float | None, tuple[str, ...]]:
    """Return SSIMULACRA 2 and no notes, or None and why there is none."""
    from vqcodec.scores import SSIMULACRA2

    try:
        SSIMULACRA2.check_extra()
        return SSIMULACRA2.load()(original, copy), ()
    except VqcError as error:
        return None, (str(error),)
