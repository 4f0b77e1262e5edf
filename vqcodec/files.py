"""Whole files in, whole files out: nothing half-written is ever left under an output's name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vqcodec.errors import InputError, OutputError

# Far more than the largest picture needs; keeps a mistaken path from filling the memory.
MAX_INPUT_BYTES = 1 << 30


def read_file(path: Path) -> bytes:
    """Return the bytes of a file of at most 1 GiB; InputError where it cannot be read."""
    with _readable(path), path.open("rb") as file:
        return read_stream(file, str(path))


def read_stream(file: BinaryIO, name: str) -> bytes:
    """Return what is left in a stream, at most 1 GiB; `name` is for the error's sentence."""
    data = file.read(MAX_INPUT_BYTES + 1)
    if len(data) > MAX_INPUT_BYTES:
        raise InputError(f"{name} is larger than 1 GiB, which no picture needs; check the path")
    return data


def check_output(path: Path, force: bool = False) -> None:
    """Raise OutputError where `path` cannot become an output: it exists, is a folder, or has no folder to be in."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file in it")
    if path.is_file() and not force:
        raise OutputError(f"{path} exists; use -f to overwrite it")
    if not path.parent.is_dir():
        raise OutputError(f"the folder {path.parent} does not exist; create it first")


Identities = dict[tuple[int, int], Path]


def identities(paths: Iterable[Path]) -> Identities:
    """Return paths by what identifies the files they lead to, under whatever name or link; without those not there."""
    return {identity: path for path in paths if (identity := _identity(path)) is not None}


def check_not_input(target: Path, inputs: Identities) -> None:
    """Raise OutputError where writing `target` would replace one of the inputs, with force or without."""
    identity = _identity(target)
    if identity in inputs and target.is_file():
        raise OutputError(
            f"{target} is the input {inputs[identity]} itself, which is never overwritten; name another output with -o"
        )


@contextmanager
def atomic_write(path: str | Path, force: bool = False) -> Iterator[BinaryIO]:
    """Open a file beside `path` for writing and give it that name once the block has ended well.

    An existing file is refused unless `force`; after any exception nothing is left behind.
    A device or pipe, such as /dev/null, is written directly, and a link's target is replaced,
    not the link. Raises OutputError.
    """
    path = Path(path)
    check_output(path, force)
    target = Path(os.path.realpath(path))
    direct = target.exists() and not target.is_file()
    part = target if direct else target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        try:
            with part.open("wb") as file:
                yield file
            if not direct:
                check_output(path, force)
                os.replace(part, target)
        finally:
            if not direct:
                with suppress(OSError):
                    part.unlink()
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder; name a file in it") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
