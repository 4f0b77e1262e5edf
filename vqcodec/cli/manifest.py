"""The manifest of a collection: a line of JSON for each file that was done, from which a run that was ended goes on.

Its first line says which command it is of, from where to where, and with which settings; a file without that line is
none, and one of another run is refused, so that nothing is left undone or replaced by mistake.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from vqcodec.errors import InputError, OutputError, SettingsError
from vqcodec.files import atomic_write, check_output, parsed_json

Facts = Mapping[str, Any]
"""`name`, and what came of it, or an `error`; of a file in a shard the `shard` too, whose own line follows."""

_COMMAND = "vqc"
"""What a head says first: the command. Versions differ in what else they say."""


def is_begun(path: Path) -> bool:
    """Return whether there is a manifest; a file that is empty says nothing and is none."""
    return path.is_file() and path.stat().st_size > 0


class Manifest:
    """A manifest that is open to be written; `done` are the names that it has, which are not to be done again.

    `head` is what its first line says. What failed is tried again, so its lines are left out, and so is what a run that
    was ended left half-written. InputError for a file that is no manifest, SettingsError for that of another run or
    version, and OutputError where it cannot be written or another run writes it.
    """

    def __init__(self, path: Path, head: Facts) -> None:
        self.path, self.head = path, json.loads(json.dumps(head))
        self.done: set[str] = set()
        check_output(path, force=True)
        if path.exists() and not path.is_file():  # a device
            self._open()
            return
        with _locked(Path(os.path.realpath(path))):  # another run has it for as long as it goes on
            self._open()

    def _open(self) -> None:
        with atomic_write(self.path, force=True) as file:
            file.writelines(map(_line, self._kept()))
            file.flush()
            # The same open file, and with it the lock, after it has got its name.
            self._file = os.fdopen(os.dup(file.fileno()), "wb")
            _lock(self._file.fileno(), self.path)

    def __enter__(self) -> Manifest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._file.close()

    def add(self, all_facts: Iterable[Facts]) -> None:
        """Add what came of a file, or of a shard and the files in it, at once; of these the shard comes last."""
        try:
            self._file.writelines(map(_line, all_facts))
            self._file.flush()
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written: {error.strerror}") from error

    def _kept(self) -> Iterator[Facts]:
        """Yield the head and the lines that count."""
        lines = _lines(self.path)
        head = next(lines, self.head)
        if _COMMAND not in head:
            raise InputError(f"{self.path} is no manifest of vqc; name another file")
        if head[_COMMAND] == self.head[_COMMAND] and set(head) != set(self.head):
            raise SettingsError(f"{self.path} is the manifest of another version of vqc; name another file")
        if other := [key for key in self.head if key in head and head[key] != self.head[key]]:
            said = ", ".join(f"{key} was {head[key]!r}" for key in other)
            raise SettingsError(f"{self.path} is the manifest of another run ({said}); name another file")
        yield head
        for facts in _finished(_checked(self.path, lines)):
            if "shard" not in facts:
                self.done.add(facts["name"])
            yield facts


def _line(facts: Facts) -> bytes:
    try:
        return json.dumps(facts, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"
    except UnicodeEncodeError:  # half a character, which is no byte of a name
        return json.dumps(facts).encode() + b"\n"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a manifest, if it is there, without a last one that is not whole."""
    if not is_begun(path):
        return
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n") or number == 1:
                    yield _facts(path, number, line)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _facts(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        return dict(parsed_json(line.decode("utf-8", "surrogateescape")))
    except (ValueError, TypeError) as error:
        raise _no_line(path, number) from error


def _checked(path: Path, lines: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, facts in enumerate(lines, 2):
        if not isinstance(facts.get("name"), str) or not isinstance(facts.get("shard", ""), str):
            raise _no_line(path, number)
        yield facts


def _no_line(path: Path, number: int) -> InputError:
    advice = "remove it, and what it said is done again" if number > 1 else "name another file"
    return InputError(f"line {number} of {path} is none of a manifest; {advice}")


def _finished(lines: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the lines of what was done, a shard's only with its own, which comes after them."""
    waiting: list[dict[str, Any]] = []
    for facts in lines:
        if "shard" in facts:
            waiting.append(facts)
            continue
        if "error" not in facts and not facts.get("failed"):
            yield from (inside for inside in waiting if inside["shard"] == facts["name"])
            yield facts
        waiting.clear()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a manifest while a block runs; one that is not there yet is made, and gone if the block fails.

    A system without flock has no lock.
    """
    if sys.platform == "win32":
        yield
        return
    try:
        descriptor, is_new = _descriptor(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        _lock(descriptor, path)
        # Who waited for the end of another's block has a file that has lost its name.
        if not path.exists() or not os.path.samestat(os.fstat(descriptor), path.stat()):
            raise _written(path)
        try:
            yield
        except BaseException:
            if is_new:
                path.unlink(missing_ok=True)
            raise
    finally:
        os.close(descriptor)


def _descriptor(path: Path) -> tuple[int, bool]:
    """Return a file that is open to be read, and whether it was made for that."""
    with suppress(FileExistsError):
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), True
    return os.open(path, os.O_RDONLY), False


def _lock(descriptor: int, path: Path) -> None:
    """Lock an open file until it is closed, where the system has flock; OutputError where another run has it."""
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise _written(path) from error


def _written(path: Path) -> OutputError:
    return OutputError(f"{path} is being written by another run; wait for it, or name another file")
