"""The options that say which part of a picture is meant: --crop and --thumbnail."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

C = TypeVar("C", bound=Callable[..., Any])
_GEOMETRY = re.compile(r"(\d+)x(\d+)\+(\d+)\+(\d+)", re.ASCII)


def part_options(command: C) -> C:
    """Give a command the options --crop, as a box of left, upper, right and lower, and --thumbnail."""
    command = click.option(
        "--thumbnail", metavar="N", type=click.IntRange(min=1),
        help="Make the picture at most N pixels long on its longest side; a small one takes a fraction of the time.",
    )(command)  # fmt: skip
    return click.option(
        "--crop", metavar="WxH+X+Y", callback=_box,
        help="Only W x H pixels, X from the left and Y from the top; nothing that is far from them is decoded.",
    )(command)  # fmt: skip


def _box(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int, int, int] | None:
    if value is None:
        return None
    found = _GEOMETRY.fullmatch(value)
    if not found:
        raise click.BadParameter(f"{value!r} is not WxH+X+Y, such as 512x512+1000+0")
    width, height, left, upper = map(int, found.groups())
    if not width or not height:
        raise click.BadParameter(f"{value!r} is empty; at least 1x1 pixels are needed")
    return left, upper, left + width, upper + height
