"""vqc train: pictures to a model."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click

from vqcodec import stores
from vqcodec.cli.console import ARGUMENTS, EXIT_INTERRUPTED, AnyPath, print_error, print_result
from vqcodec.cli.processes import is_one_of_many, is_speaker, one_voice, started, was_restarted
from vqcodec.errors import InputError, OutputError, SettingsError
from vqcodec.exact.bitstream.header import PRIORS
from vqcodec.files import check_input, check_not_input, check_output, identities

_UNIT_SECONDS = (3600, 60, 1)
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


def parse_duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return the seconds of a time such as 90s, 30m, 2h or 1h30m; an option's callback."""
    if value is None:
        return None
    match = _DURATION.fullmatch(value.strip().lower())
    amounts = match.groups() if match else ()
    seconds = sum(float(n) * unit for n, unit in zip(amounts, _UNIT_SECONDS, strict=False) if n)
    if seconds <= 0:
        raise click.BadParameter(f"{value!r} is not a time; write 90s, 30m, 2h or 1h30m", ctx, param)
    return seconds


def check_method(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return the name of a quantizer; an option's callback.

    It is no click.Choice, since listing all methods loads torch, which --help must not.
    """
    if value is None:
        return None
    from vqcodec import quantizers

    try:
        quantizers.method(value)
    except SettingsError as error:
        raise click.BadParameter(str(error), ctx, param) from error
    return value


def _parse_pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return {name: value} of options written name=value."""
    for pair in pairs:
        if "=" not in pair:
            raise click.UsageError(f"option {pair!r} of the method is not of the form NAME=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)


class _Source(AnyPath):
    """A path or an address; InputError for one without a host, of which a path keeps nothing that tells it apart."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not stores.is_here(str(value)) and ":///" in str(value):
            raise InputError(f"{value} names no host; write it with one, as in hdfs://host/folder")
        return super().convert(value, param, ctx)


def _check_paths(sources: tuple[Path, ...], output: Path, force: bool) -> None:
    from vqcodec.image import check_no_picture

    check_no_picture(output, "a model", ".safetensors")
    check_not_input(output, identities(sources))
    for source in sources:
        if not stores.is_address(source):
            check_input(source)
    check_output(output, force)


@click.command("train")
@click.argument("sources", metavar="IMAGES...", nargs=-1, required=True, type=_Source())
@click.option("-o", "--output", type=AnyPath(), default="model.safetensors", show_default=True)
@click.option("--recipe", metavar="FILE", type=AnyPath(), help="Settings as TOML; options win over it.")
@click.option("--network", type=click.Choice(["photo", "vqvae", "vqgan"]), help="photo: every rate; others: one.")
@click.option(
    "--quantizer", metavar="METHOD", callback=check_method,
    help="See docs/quantizers.md; photo has looc and vq only. Your own as module:Class.",
)  # fmt: skip
@click.option(
    "-O", "--option", "pairs", metavar="NAME=VALUE", multiple=True, help="An option of the method; may be repeated."
)
@click.option("--prior", type=click.Choice(PRIORS), help="Tables per class, or a context prior.")
@click.option("--init", metavar="FILE|NAME", help="Start from the networks of this model.")
@click.option("-K", "K", type=int, help="Codevectors in the codebook.")
@click.option("-m", "m", type=int, help="Units that share the codebook.")
@click.option("--depth", type=int, help="Stages: 1 or 2 for looc, any number for rq.")
@click.option("--beta", type=int, help="Extrapolation by interpolation, 1 (none) to 8.")
@click.option(
    "--beta-mode", "mode", type=click.Choice(["all", "conditional", "smooth"]), help="How beta's indices are stored."
)
@click.option("--batch", type=click.IntRange(min=1), help="Crops in a step.")
@click.option("--crop", type=click.IntRange(min=16), help="Pixels along each side of a crop.")
@click.option("--match", "pattern", metavar="PATTERN", help="Only pictures in folders with such names: 'IMG_*.jpg'.")
@click.option("--steps", type=click.IntRange(min=1), help="Length of the run in steps.")
@click.option(
    "--time", "seconds", metavar="TIME", callback=parse_duration, help="Length of the run as a time: 90s, 30m, 2h."
)
@click.option("--stream", is_flag=True, default=None, help="Read pictures while training: for more than memory holds.")
@click.option("--log", type=click.Choice(["tensorboard"]), help="Curves in a folder beside the output.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run of the same output.")
@click.option("--seed", type=click.IntRange(min=0), help="Start of the random numbers.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.")
@click.option("--processes", type=click.IntRange(min=1), default=1, help="Processes that share each batch.")
@click.option("-f", "--force", is_flag=True, help="Overwrite the output if it exists.")
@one_voice()
def command(
    sources: tuple[Path, ...],
    output: Path,
    recipe: Path | None,
    pairs: tuple[str, ...],
    resume: bool,
    pattern: str | None,
    log: str | None,
    processes: int,
    force: bool,
    **options: Any,
) -> None:
    """Train a model on folders, .tar shards or files of pictures, here or in a store.

    Ctrl-C saves a checkpoint beside the output, from which --resume goes on with the
    settings of the run; options given then win. Without a recipe the settings are those of a
    short run on few photographs, for each METHOD its own; the last line has PSNR and bits per
    pixel of pictures that were held out. --processes 2, or torchrun -m vqcodec train,
    shares a run among processes: the losses are those of one.

    \b
    vqc train photos/ --time 10m -o my.safetensors
    vqc train photos/ --quantizer pq -K 256 -m 4 --time 30m -o my.safetensors
    vqc train photos/ --quantizer cvq -K 1024 -O anchor=random --time 10m -o my.safetensors
    vqc train 's3://bucket/photos-{000..099}.tar' --time 2h -o my.safetensors
    vqc compress --model my.safetensors photo.png
    """
    if options["steps"] is not None and options["seconds"] is not None:
        raise click.UsageError("--steps and --time both set the length of the run; give one of them")
    _check_paths(sources, output, force)
    if pairs:
        options["options"] = _parse_pairs(pairs)
    from vqcodec import training

    resume = resume or (was_restarted() and training.checkpoint_path(output).exists())
    if not resume and not force and training.checkpoint_path(output).exists():
        raise OutputError(
            f"{training.checkpoint_path(output)} holds an earlier run; go on with it by --resume, or start anew with -f"
        )
    resumed = training.resumed_settings(output) if resume else None
    if recipe is None and not resume:
        options = training.first_values(options | {"name": output.stem})
    settings = training.make_settings(recipe, options, resumed)
    training.check_divisible(settings.batch, started() if is_one_of_many() else processes)
    if processes > 1 and not is_one_of_many():
        from vqcodec.training.launch import launch

        raise click.exceptions.Exit(launch(processes, click.get_current_context().meta[ARGUMENTS]))
    figures = training.run(list(sources), output, settings, resume, pattern=pattern, log=log)
    if figures is None:
        named = shlex.join([*map(str, sources), *(["--match", pattern] if pattern else [])])
        print_error(f"the run is not finished; go on with: vqc train {named} --resume -o {output}")
        raise click.exceptions.Exit(EXIT_INTERRUPTED)
    if is_speaker():
        print_result(f"{output}: {output.stat().st_size:,} bytes, trained; use it with --model {output}")
        print_result(str(figures))
