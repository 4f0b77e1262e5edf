"""What commands say to people: results, notes and errors."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from typing import Any, TextIO, cast

import click

from vqcodec.errors import InputError, OutputError
from vqcodec.names import printable

STANDARD = "-"
"""The name that stands for standard input or output."""
EXIT_INTERRUPTED = 130
ARGUMENTS = "vqcodec.arguments"
"""Where a click context keeps the arguments of the whole command line."""


class AnyPath(click.Path):
    """A path that is looked at when its turn comes, so that one that cannot be read does not end the others."""

    def __init__(self, path_type: type[Path] | None = Path) -> None:
        super().__init__(readable=False, allow_dash=True, path_type=path_type)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; InputError for a zero byte, which no name has."""
        if "\0" in os.fspath(value):
            raise InputError(f"{printable(value)} is not the name of a file; check the path")
        return super().convert(value, param, ctx)


def print_error(error: Exception | str) -> None:
    """Write `vqc: <sentence>` to stderr, on one line whatever names are in it."""
    _write(printable(f"vqc: {error}"), to_stderr=True)


def print_result(line: str | Mapping[str, Any], to_stderr: bool = False) -> None:
    """Write one line for a file, or a mapping as one line of JSON, to stdout (stderr while stdout carries data)."""
    _write(line if isinstance(line, str) else json.dumps(line), to_stderr)


def print_note(note: str) -> None:
    """Write `vqc: note: <sentence>` to stderr."""
    print_error(f"note: {note}")


def name_of(path: Path | str) -> str:
    """Return a path as text that can be printed on any terminal."""
    return printable(path)


def write_stdout(data: bytes) -> None:
    """Write a file to stdout; OutputError where that is closed or a terminal."""
    if sys.stdout is None:
        raise OutputError("stdout is closed; name a file with -o")
    stream = sys.stdout.buffer
    if stream.isatty():
        raise OutputError("a file of bytes is not written to a terminal; name a file with -o or use a pipe")
    with named_stdout():
        stream.write(data)
        stream.flush()


@contextmanager
def named_stdout() -> Iterator[None]:
    """Give an error of writing to stdout its name, which those of files have and those of connections have not."""
    try:
        yield
    except OSError as error:
        error.filename = "stdout"
        raise


@contextmanager
def no_bars() -> Iterator[None]:
    """Let no bar be drawn, of this package or another: tqdm draws none where stderr says that it is no terminal."""
    with redirect_stderr(cast(TextIO, _NoTerminal(sys.stderr))):
        yield


class _NoTerminal:
    """A stream that is another one in all but this."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        """Say no."""
        return False


def _write(text: str, to_stderr: bool) -> None:
    """Print a line without tearing a progress bar that is on the screen, if there is one."""
    # What the terminal's encoding does not have is shown as an escape.
    encoding = getattr(sys.stderr if to_stderr else sys.stdout, "encoding", None) or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    bars = sys.modules.get("tqdm")
    untorn = nullcontext() if bars is None else bars.tqdm.external_write_mode()
    with untorn, nullcontext() if to_stderr else named_stdout():
        click.echo(text, err=to_stderr)
