"""Names of files as text that any terminal and any page can show, and sentences about many files."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence

_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Categories of Unicode that are no letters: control codes, marks that turn text around, halves, ends of lines."""


def printable(name: str | os.PathLike[str]) -> str:
    """Return a name with what moves a terminal's cursor or is no text as an escape, such as \\x1b."""
    return "".join(_escaped(c) if unicodedata.category(c) in _UNSEEN else c for c in os.fspath(name))


def note_on(note: str, names: Sequence[str]) -> str:
    """Return a note with the first of the files that it is about, and how many more there are."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}: {note}"


def notes_on(notes: Mapping[str, Sequence[str]]) -> list[str]:
    """Return each note once, for notes with the names of their files."""
    return [note_on(note, names) for note, names in notes.items()]


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
