"""The flags that say what of a picture is kept beside its pixels."""

from __future__ import annotations

import click

from vqcodec.cli.jobs import C, Plan
from vqcodec.errors import SettingsError


def keeping_flags(command: C) -> C:
    """Give a command the flags that say what of a picture is kept: --background and --preserve."""
    command = click.option("--preserve", is_flag=True, help="Give outputs the time of change of their inputs.")(command)
    return click.option(
        "--background", metavar="COLOR", callback=color_option,
        help="Lay what is transparent over a color (white, #204060 ...) instead of keeping it so.",
    )(command)  # fmt: skip


def color_option(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return the value of an option that names a color; the callback of such options."""
    if value is not None:
        from vqcodec.image import parse_color

        try:
            parse_color(value)
        except SettingsError as error:
            raise click.BadParameter(str(error)) from error
    return value


def check_preserve(plan: Plan, preserve: bool) -> None:
    """Raise SettingsError where times are to be kept and an input or output is a stream, which has none."""
    if preserve and any(None in (job.source, job.target) for job in plan.jobs):
        raise SettingsError("--preserve needs files, since '-' has no time of change; leave it out")
