"""Whole files in, whole files out: nothing half-written is ever left under an output's name."""

from __future__ import annotations

import io
import json
import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from vqcodec.errors import InputError, OutputError

# Far more than the largest picture needs; keeps a mistaken path from filling the memory.
MAX_INPUT_BYTES = 1 << 30
_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}


def read_file(path: Path) -> bytes:
    """Return the bytes of a file of at most 1 GiB; InputError where it cannot be read."""
    with readable(path), path.open("rb") as file:
        return read_stream(file, str(path))


def read_stream(file: BinaryIO, name: str) -> bytes:
    """Return what is left in a stream, at most 1 GiB; `name` is for the error's sentence."""
    data = file.read(MAX_INPUT_BYTES + 1)
    if len(data) > MAX_INPUT_BYTES:
        raise InputError(f"{name} is larger than 1 GiB, which no picture needs; check the path")
    return data


def parsed_json(text: bytes | str) -> Any:
    """Return what JSON holds; ValueError whatever is wrong with it, brackets without an end among it."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def check_input(path: Path) -> None:
    """Raise InputError where there is no file, or none that can be reached."""
    with readable(path):
        path.stat()


def check_output(path: Path, force: bool = False) -> None:
    """Raise OutputError where `path` cannot become an output: it exists, is a folder, or has no folder to be in."""
    with _writable(path):
        if _descriptor(path) is not None:
            return
        if path.is_dir():
            raise OutputError(f"{path} is a folder; name a file in it")
        if path.is_file() and not force:
            raise OutputError(f"{path} exists; use -f to overwrite it")
        if not path.parent.is_dir():
            raise OutputError(f"the folder {path.parent} does not exist; create it first")
        path.exists()  # raises where the name is too long


def keep_time(source: Path, target: Path) -> None:
    """Give a file the time of change of another; OutputError where that cannot be. Devices and pipes are left alone."""
    with readable(source):
        status = source.stat()
    with _writable(target):
        if target.is_file():
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


Identities = dict[tuple[int, int], Path]


def identities(paths: Iterable[Path]) -> Identities:
    """Return paths by what identifies the files they lead to, under whatever name or link; without those not there."""
    return {identity: path for path in paths if (identity := _identity(path)) is not None}


def check_not_input(target: Path, inputs: Identities) -> None:
    """Raise OutputError where writing `target` would replace one of the inputs, with force or without."""
    identity = _identity(target)
    if identity in inputs and os.path.isfile(target):
        raise OutputError(
            f"{target} is the input {inputs[identity]} itself, which is never overwritten; name another output with -o"
        )


def lies_in(path: Path, folder: Path) -> bool:
    """Return whether a path, which need not be there yet, is a folder or in it, whatever links lead to either."""
    path, folder = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    known = identities([folder])
    return any(above == folder or _identity(above) in known for above in (path, *path.parents))


def spelling(path: Path) -> str:
    """Return what spellings of an output have in common that may be one file: links, capitals and accents aside."""
    name = unicodedata.normalize("NFD", os.path.realpath(path)).casefold()
    return unicodedata.normalize("NFC", name)


def are_one_file(first: Path, second: Path) -> bool:
    """Whether two outputs of one `spelling`, which need not be there yet, are one file where they are to be.

    The folder says so itself, by a folder that is made in it for a moment; one that cannot be asked takes no outputs.
    """
    first, second = Path(os.path.realpath(first)), Path(os.path.realpath(second))
    if first == second:
        return True
    import tempfile  # it imports all archive formats, which nobody else needs

    with suppress(OSError):
        if first.parent.samefile(second.parent):
            with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=first.parent) as folder:
                Path(folder, first.name).touch()
                return Path(folder, second.name).exists()
    return False


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Say in one sentence why a file cannot be read; InputError."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder; name a file in it") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a zero byte
        raise InputError(f"{path} is not the name of a file; check the path") from error


@contextmanager
def atomic_write(path: str | Path, force: bool = False) -> Iterator[BinaryIO]:
    """Open a file beside `path` for writing and give it that name once the block has ended well.

    An existing file is refused unless `force`, and leaves its mode to the new one; after any exception nothing is left
    behind. A device, a pipe or an open file, such as /dev/null or /dev/fd/3, is written once the block has ended well;
    a link's target is replaced, not the link. Raises OutputError.
    """
    path = Path(path)
    check_output(path, force)
    with _writable(path):
        target, descriptor, made = Path(os.path.realpath(path)), _descriptor(path), io.BytesIO()
        if descriptor is not None:
            yield made
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(made.getbuffer())
        elif path.exists() and not path.is_file():
            yield made
            with path.open("wb") as file:
                file.write(made.getbuffer())
        else:
            with _part_of(target) as (part, file):
                yield file
                file.close()
                check_output(path, force)
                os.replace(part, target)


@contextmanager
def _part_of(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a new file beside `target`, with its mode if it is there, and remove it if it is still there at the end."""
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
    # Nobody can know the name, and what has it already is not opened: a link planted there would be followed.
    part = target.with_name(f".{os.urandom(8).hex()}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(part, flags, 0o666 if mode is None else 0o600), "wb") as file:
            if mode is not None:
                part.chmod(mode)
            yield part, file
    finally:
        with suppress(OSError):
            part.unlink()


def _descriptor(path: Path) -> int | None:
    """Return the number of the open file that a path such as /dev/stdout or /dev/fd/3 names, or None."""
    name = os.fspath(path)
    if name in _STANDARD:
        return _STANDARD[name]
    folder, _, number = name.rpartition("/")
    return int(number) if folder in ("/dev/fd", "/proc/self/fd") and number.isdecimal() else None


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
