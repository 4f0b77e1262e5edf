"""journal.jsonl: every measurement the moment it is made, so that a second run goes on where a first one ended.

    {"journal": 1, "pictures": {name: SHA-256 of the file}}
    {"codec": name, "label": ..., "settings": {...}}
    {"picture": name, "codec": name, "quality": ..., "bytes": ..., "metrics": {...}}     or "error" for figures

Results of one folder add up over runs: with other codecs, qualities or metrics, but only of the
same pictures. Rows of a codec whose settings have changed since are dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vqcodec.errors import OutputError
from vqcodec.files import atomic_write, parsed_json

Row = dict[str, Any]
Key = tuple[str, str, float]
NAME = "journal.jsonl"
FORMAT = 1


class Journal:
    """The measurements of one output folder; `rows` by picture, codec and quality, `codecs` by name."""

    def __init__(self, folder: Path, pictures: dict[str, str], force: bool = False) -> None:
        self.path = folder / NAME
        self.pictures = pictures
        self.codecs: dict[str, dict[str, Any]] = {}
        self.rows: dict[Key, Row] = {}
        if self.path.exists() and not force:
            self._load()

    def declare(self, codecs: dict[str, dict[str, Any]]) -> None:
        """Say label and settings of the codecs of this run, which come first from now on; write the journal anew."""
        for name, about in codecs.items():
            if self.codecs.get(name, about) != about:
                self.rows = {key: row for key, row in self.rows.items() if key[1] != name}
        others = {name: about for name, about in self.codecs.items() if name not in codecs}
        self.codecs = {**codecs, **others}
        with atomic_write(self.path, force=True) as file:
            for line in self._lines():
                file.write(_encoded(line))

    def add(self, row: Row) -> None:
        """Keep a row; metrics of the same measurement that it does not have stay."""
        old = self.rows.get(_key(row))
        if old is not None and "metrics" in old and "metrics" in row:
            row = row | {"metrics": old["metrics"] | row["metrics"]}
        self.rows[_key(row)] = row
        with self.path.open("ab") as file:
            file.write(_encoded(row))

    def has(self, key: Key, metrics: Iterable[str]) -> bool:
        """Say whether a measurement is there with all these metrics."""
        row = self.rows.get(key, {})
        return "metrics" in row and set(metrics) <= set(row["metrics"])

    def _lines(self) -> Iterable[dict[str, Any]]:
        yield {"journal": FORMAT, "pictures": self.pictures}
        for name, about in self.codecs.items():
            yield {"codec": name, **about}
        yield from self.rows.values()

    def _load(self) -> None:
        text = self.path.read_text(encoding="utf-8", errors="replace")
        lines = [line for line in map(_parsed, text.splitlines()) if line is not None]
        if not lines or lines[0].get("journal") != FORMAT:
            raise OutputError(f"{self.path} is not a journal of this vqc; choose another folder, or -f to start anew")
        if lines[0].get("pictures") != self.pictures:
            raise OutputError(
                f"{self.path.parent} holds results of other pictures; choose another folder, or -f to start anew"
            )
        for line in lines[1:]:
            if "picture" in line:
                self.rows[_key(line)] = line
            else:
                self.codecs[line.pop("codec")] = line


def _key(row: Row) -> Key:
    return row["picture"], row["codec"], row["quality"]


def _encoded(line: dict[str, Any]) -> bytes:
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _parsed(line: str) -> dict[str, Any] | None:
    """Return a line's object, or None for one that a crash cut off."""
    try:
        found = parsed_json(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
