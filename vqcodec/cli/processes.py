"""One command in several processes, which torchrun or `--processes` has started: only the first speaks."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import NoReturn

import click

from vqcodec.errors import LostProcessError, SettingsError, VqcError

_SECONDS_TO_SPEAK = 10


def is_one_of_many() -> bool:
    """Return whether a launcher has started this process, so that it must start none."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def started() -> int:
    """Return how many processes a launcher has started for the run, of which this is one."""
    return _number("WORLD_SIZE", 1)


def was_restarted() -> bool:
    """Return whether the launcher has started this process again because one of the run had ended."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0) > 0


def is_speaker() -> bool:
    """Return whether this process is the one that speaks for all: the first, or the only one, whatever its RANK."""
    return started() == 1 or _number("RANK", 0) == 0


def _number(variable: str, usual: int) -> int:
    said = os.environ.get(variable, str(usual))
    if not said.isdecimal():
        raise SettingsError(
            f"{variable} is {said!r} in the environment, and no number; a launcher sets it, or unset it"
        )
    return int(said)


@contextlib.contextmanager
def one_voice() -> Iterator[None]:
    """Let bars, notes and errors be those of one process; the others have the same to say.

    That another process has ended is said by `launch` where that has started them.
    """
    if is_speaker():
        try:
            yield
        except LostProcessError as error:
            from vqcodec.training.launch import EXIT_LOST, RUN_ID

            if os.environ.get("TORCHELASTIC_RUN_ID") != RUN_ID:
                raise
            raise click.exceptions.Exit(EXIT_LOST) from error
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # noqa: PTH123
        try:
            yield
        except LostProcessError as error:
            raise click.exceptions.Exit(1) from error
        except VqcError as error:
            # The launcher ends all when one has ended, so the first needs the time to say it.
            time.sleep(_SECONDS_TO_SPEAK)
            raise click.exceptions.Exit(1) from error


def leave(code: int | None) -> NoReturn:
    """End this process with an exit code, None meaning 0; one of many ends at once.

    Threads below the process group may still run when the interpreter takes itself down, and abort it with a word of
    their own.
    """
    if is_one_of_many():
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or none
                stream.flush()
        os._exit(code or 0)
    sys.exit(code)
