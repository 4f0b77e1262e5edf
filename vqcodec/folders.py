"""What a folder holds: the files that are wanted, and what is left out, so that it can be said.

One rule for all commands: files are known by their suffix, in capitals or not. Hidden files and folders (a name with
a dot in front) and links to folders are left out; links to files are taken.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from vqcodec.errors import InputError
from vqcodec.names import printable


@dataclass
class Found:
    """The wanted files of a folder, sorted; what else is in it; and an error for each folder that cannot be read.

    hint: what would have to be done for some of the rest to be wanted too, as the end of the sentence on it.
    """

    files: list[Path] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)
    errors: list[InputError] = field(default_factory=list)
    hint: str = ""

    def checked(self) -> list[Path]:
        """Return the files; InputError for the first folder that cannot be read."""
        if self.errors:
            raise self.errors[0]
        return self.files


def list_folder(folder: str | Path, suffixes: Collection[str], recursive: bool = True) -> Found:
    """Return what a folder holds with all folders in it, or without them, of which then nothing is said.

    `suffixes` are in small letters, with their dots.
    """
    found = Found()
    _collect(Path(folder), suffixes, recursive, found)
    found.files.sort()
    # Of a hidden name nobody asks why it is left out, so another one is said first.
    found.left_out.sort(key=lambda path: (is_hidden(path.name), path))
    return found


def walked(folder: Path, unreadable: Callable[[InputError], None] = lambda _: None) -> Iterator[Path]:
    """Yield the files of a folder, in the order of their names, then those of its folders, by the same rule.

    The names of one folder at a time are in memory. `unreadable` is told of a folder that cannot be read.
    """
    try:
        with os.scandir(folder) as found:
            entries = sorted((entry for entry in found if not is_hidden(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        unreadable(_unreadable(folder, error))
        return
    yield from (Path(entry.path) for entry in entries if entry.is_file())
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from walked(Path(entry.path), unreadable)


def is_hidden(name: str) -> bool:
    """Return whether a name in a folder, a store or an archive is hidden, or in a hidden folder."""
    return any(part.startswith(".") and part != ".." for part in PurePosixPath(name).parts)


def left_out_note(paths: Sequence[Path], hint: str = "") -> str:
    """Return the sentence on files that were left out of a folder; `hint` is its end, see Found."""
    return counted_note(len(paths), paths[0]) + hint


def counted_note(count: int, first: Path | str) -> str:
    """Return the sentence on so many files that were left out."""
    return f"{count} {'file' if count == 1 else 'files'} left out, the first is {printable(first)}"


def _collect(folder: Path, suffixes: Collection[str], recursive: bool, found: Found) -> None:
    try:
        with os.scandir(folder) as entries:
            for entry in list(entries):
                _sort_in(entry, suffixes, recursive, found)
    except OSError as error:
        found.errors.append(_unreadable(folder, error))


def _unreadable(folder: Path, error: OSError) -> InputError:
    return InputError(f"the folder {printable(folder)} cannot be read: {error.strerror}; allow it, or leave it out")


def _sort_in(entry: os.DirEntry[str], suffixes: Collection[str], recursive: bool, found: Found) -> None:
    path, hidden = Path(entry.path), is_hidden(entry.name)
    if entry.is_dir() and not recursive:
        return
    if entry.is_dir(follow_symlinks=False) and not hidden:
        _collect(path, suffixes, recursive, found)
    elif not hidden and entry.is_file() and path.suffix.lower() in suffixes:
        found.files.append(path)
    else:
        found.left_out.append(path)
