"""vqc train: pictures to a model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from vqcodec.cli.console import EXIT_INTERRUPTED, AnyPath, print_error, print_result
from vqcodec.errors import OutputError
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

    found: str = click.Choice(quantizers.names()).convert(value, param, ctx)
    return found


def _parse_pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return {name: value} of options written name=value."""
    for pair in pairs:
        if "=" not in pair:
            raise click.UsageError(f"option {pair!r} of the method is not of the form NAME=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)


@click.command("train")
@click.argument("sources", metavar="IMAGES...", nargs=-1, required=True, type=AnyPath())
@click.option("-o", "--output", type=AnyPath(), default="model.safetensors", show_default=True)
@click.option("--recipe", metavar="FILE", type=AnyPath(), help="Settings as TOML; options win over it.")
@click.option("--network", type=click.Choice(["photo", "vqvae", "vqgan"]), help="photo: every rate; others: one.")
@click.option(
    "--quantizer", metavar="METHOD", callback=check_method, help="See docs/quantizers.md; photo has looc and vq only."
)
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
@click.option("--steps", type=click.IntRange(min=1), help="Length of the run in steps.")
@click.option(
    "--time", "seconds", metavar="TIME", callback=parse_duration, help="Length of the run as a time: 90s, 30m, 2h."
)
@click.option("--resume", is_flag=True, help="Go on with an interrupted run of the same output.")
@click.option("--seed", type=click.IntRange(min=0), help="Start of the random numbers.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.")
@click.option("-f", "--force", is_flag=True, help="Overwrite the output if it exists.")
def command(
    sources: tuple[Path, ...],
    output: Path,
    recipe: Path | None,
    pairs: tuple[str, ...],
    resume: bool,
    force: bool,
    **options: Any,
) -> None:
    """Train a model on folders, .tar shards or files of pictures.

    Ctrl-C saves a checkpoint beside the output, from which --resume goes on with the
    settings of the run; options given then win.

    \b
    vqc train photos/ -o my.safetensors
    vqc train photos/ --quantizer looc -K 256 -m 160 --time 30m -o my.safetensors
    vqc train photos/ --quantizer cvq -K 1024 -O anchor=random -o my.safetensors
    vqc compress --model my.safetensors photo.png
    """
    if options["steps"] is not None and options["seconds"] is not None:
        raise click.UsageError("--steps and --time both set the length of the run; give one of them")
    from vqcodec.image import check_no_picture

    check_no_picture(output, "a model", ".safetensors")
    check_not_input(output, identities(sources))
    for source in sources:
        check_input(source)
    check_output(output, force)
    if pairs:
        options["options"] = _parse_pairs(pairs)
    from vqcodec import training

    if recipe is None and not resume:
        options["name"] = output.stem
    if not resume and not force and training.checkpoint_path(output).exists():
        raise OutputError(
            f"{training.checkpoint_path(output)} holds an earlier run; go on with it by --resume, or start anew with -f"
        )
    resumed = training.resumed_settings(output) if resume else None
    settings = training.make_settings(recipe, options, resumed)
    if not training.run(list(sources), output, settings, resume):
        named = " ".join(map(str, sources))
        print_error(f"the run is not finished; go on with: vqc train {named} --resume -o {output}")
        raise click.exceptions.Exit(EXIT_INTERRUPTED)
    print_result(f"{output}: {output.stat().st_size:,} bytes, trained; use it with --model {output}")
