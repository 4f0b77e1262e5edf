"""The command line: one file per command. Only this package prints and exits.

Commands import what is slow (torch, NumPy, Pillow) when they run, so `vqc --help` stays fast.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from importlib import import_module
from types import FrameType
from typing import NoReturn

import click

from vqcodec.cli.console import ARGUMENTS, EXIT_INTERRUPTED, named_stdout, print_error
from vqcodec.cli.processes import leave
from vqcodec.errors import VqcError

__all__ = ["main", "vqc"]

COMMANDS = (
    "compress",
    "decompress",
    "verify",
    "info",
    "models",
    "train",
    "eval",
    "compare",
    "analyze",
    "reproduce",
    "tokens",
    "sample",
    "generate",
    "push",
    "desktop",
)


_EXTRAS = {
    "bjontegaard": "eval",
    "huggingface_hub": "hub",
    "matplotlib": "eval",
    "pillow_heif": "heic",
    "pillow_jxl": "jxl",
    "pytorch_msssim": "eval",
    "pytorch_optimizer": "soap",
    "scipy": "eval",
    "ssimulacra2": "eval",
    "torch_fidelity": "perceptual",
    "torchmetrics": "eval",
    "torchvision": "perceptual",
    "vector_quantize_pytorch": "quantizers",
}
"""What a plain installation lacks, and the extra that brings it."""


class _LazyGroup(click.Group):
    """A group that imports vqcodec.cli.<name> for a command when it is asked for."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments as they are: a command that starts processes of its kind gives them these."""
        ctx.meta[ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

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
    # Threads of OpenMP spin while they wait: two compressions on two cores took ten times as long each.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _prepare()
    try:
        code = vqc.main(arguments, prog_name="vqc", standalone_mode=False)
        _flush()
    except VqcError as error:
        print_error(error)
        code = 1
    except ModuleNotFoundError as error:
        if error.name is None or (extra := _EXTRAS.get(error.name.partition(".")[0])) is None:
            raise
        print_error(f"this needs {error.name}, which is not installed; run: pip install 'vqcodec[{extra}]'")
        code = 1
    except MemoryError:
        print_error("not enough memory for this picture; make it smaller first")
        code = 1
    except OSError as error:
        print_error(f"{error.filename or 'a file or a connection'} cannot be used: {error.strerror or error}")
        _give_up_stdout()
        code = 1
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print_error("interrupted")
        code = EXIT_INTERRUPTED
    except SystemExit as end:  # what SIGTERM has become
        code = end.code
    _leave_signals()
    leave(code)


def _prepare() -> None:
    """Let SIGTERM end the run as an exception, so that nothing half-written is left; say nothing to a closed stderr."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)


def _leave_signals() -> None:
    """Let SIGTERM end the interpreter without a word again: nothing is half-written any more."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is _terminate:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _flush() -> None:
    if sys.stdout is not None:
        with named_stdout():
            sys.stdout.flush()


def _give_up_stdout() -> None:
    """Throw away what stdout did not take, which the interpreter would try to write again at its end."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
