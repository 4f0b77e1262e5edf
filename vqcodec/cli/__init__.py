"""The command line: one file per command. Only this package prints and exits.

Commands import what is slow (torch, NumPy, Pillow) when they run, so `vqc --help` stays fast.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import NoReturn

import click

from vqcodec.cli.console import EXIT_INTERRUPTED, print_error
from vqcodec.errors import VqcError

__all__ = ["main", "vqc"]

COMMANDS = (
    "compress",
    "decompress",
    "info",
    "models",
    "train",
    "eval",
    "compare",
    "analyze",
    "reproduce",
    "tokens",
    "sample",
)


class _LazyGroup(click.Group):
    """A group that imports vqcodec.cli.<name> for a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which `vqc --help` shows them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"vqcodec.cli.{cmd_name}").command
        return command


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"vqc {version('vqcodec')}")
        ctx.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print the version."
)
def vqc() -> None:
    """vqc is a learned image codec: photographs become small .vqc files and come back.

    \b
    vqc compress photo.png           writes photo.vqc
    vqc decompress photo.vqc         writes photo.png
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 an error, 2 wrong usage, 130 Ctrl-C.

    The one place where an error becomes a sentence on stderr and an exit code.
    """
    # NumPy's thread pool beside torch's halves the speed of both; its products here are small.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        code = vqc.main(arguments, prog_name="vqc", standalone_mode=False)
    except VqcError as error:
        print_error(error)
        code = 1
    except MemoryError:
        print_error("not enough memory for this picture; make it smaller first")
        code = 1
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print_error("interrupted")
        code = EXIT_INTERRUPTED
    sys.exit(code)
