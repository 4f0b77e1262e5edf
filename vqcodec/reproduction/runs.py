"""Which runs the rows of tables need. What is the same in two tables is one run, known by its name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from vqcodec.errors import SettingsError
from vqcodec.reproduction import paper_tables
from vqcodec.reproduction.paper_tables import START_ON, PaperTable, Row, quick_on
from vqcodec.training.papers.settings import AutoencoderSettings
from vqcodec.training.pictures.datasets import LARGE, ORIGINS, Name, known_name
from vqcodec.training.pictures.photo_tiles import SIDE

NETWORKS: dict[Name, dict[str, Any]] = {
    "mnist": {"network": "vqvae", "d": 128, "channels": 1},
    "fashion": {"network": "vqvae", "d": 128, "channels": 1},
    "cifar10": {"network": "vqvae", "d": 128},
    "photos64": {"network": "vqvae", "d": 128},
    **{name: {"network": "vqgan", "d": 256, "crop": SIDE} for name in ("photos", *LARGE)},
}
"""The papers' network for each data set, in settings of AutoencoderSettings, with the channels of its latents."""
NOT_OF_THE_RUN = {"name", "data", "steps", "seconds", "threads", "checkpoint_minutes"}
"""What says how long a run lasts, where and under which name: not what it is."""


@dataclass(frozen=True)
class Run:
    """A data set and the settings of an autoencoder on it, whatever its length."""

    dataset: Name
    settings: AutoencoderSettings

    @property
    def size(self) -> str:
        """The codebooks in words: K × d*, and how many of them where there are several."""
        quantizer = self.settings.quantizer_settings()
        books = f" × {quantizer.m}" if quantizer.has_own_codebooks else ""
        return f"{quantizer.K} × {quantizer.d_star}{books}"

    @cached_property
    def name(self) -> str:
        """What is readable of the settings, and a hash of all that are not the usual ones."""
        settings, quantizer = self.settings, self.settings.quantizer_settings()
        parts = [self.dataset, quantizer.name, f"{quantizer.K}x{quantizer.d_star}"]
        parts += [f"beta{settings.beta}", settings.mode] if settings.beta > 1 else []
        parts += [f"{key}{value}" for key in ("subpixel", "rows") if (value := getattr(settings, key)) > 1]
        return "-".join([*parts, settings.match, f"b{settings.batch}", self._hash()])

    @property
    def start(self) -> Run | None:
        """The run whose network this one begins with; None where it begins with a new one."""
        return _start(self.dataset) if self.settings.init else None

    @property
    def trained(self) -> Run:
        """The run whose training is this one's: `conditional` differs from `all` in how its indices are coded alone."""
        if self.settings.mode != "conditional":
            return self
        return Run(self.dataset, replace(self.settings, mode="all"))

    def _hash(self) -> str:
        usual = AutoencoderSettings().as_dict()
        mine = {
            key: value
            for key, value in self.settings.as_dict().items()
            if key not in NOT_OF_THE_RUN and value != usual[key]
        }
        return hashlib.sha256(json.dumps([self.dataset, mine], sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Entry:
    """A row of a table on one data set; its run is None where it is not built here."""

    table: PaperTable
    row: Row
    dataset: Name

    @cached_property
    def run(self) -> Run | None:
        """The run that makes the row."""
        if self.dataset not in self.row.settings:
            return None
        values = {**NETWORKS[self.dataset], **AutoencoderSettings.completed(self.row.settings[self.dataset])}
        if self.row.is_quick and self.dataset in START_ON:
            values["init"] = _start(self.dataset).name
        return Run(self.dataset, AutoencoderSettings(**values))

    @property
    def text(self) -> str:
        """The row in words that are easy to type, which patterns look at: method and size."""
        label, _, variant = self.row.method.partition(", ")
        size = [] if self.run is None else [self.run.size.replace(" × ", "x")]
        return ", ".join([" ".join([label, *size]), *([variant] if variant else [])])


def _start(dataset: Name) -> Run:
    return Run(dataset, AutoencoderSettings(**{**NETWORKS[dataset], **quick_on(dataset), **START_ON[dataset]}))


def entries(table: PaperTable) -> list[Entry]:
    """Return all rows of a table on all its data sets, one data set after the other.

    A row that is built for some of them is not one of the others.
    """
    found = [Entry(table, row, dataset) for dataset in table.datasets for row in table.rows]
    return [entry for entry in found if not entry.row.settings or entry.dataset in entry.row.settings]


def choose(
    names: Sequence[str], only: Sequence[str] = (), pattern: str = "", own: Sequence[PaperTable] = ()
) -> list[Entry]:
    """Return the rows of tables on the data sets `only` whose text the regular expression is found in.

    `own` are tables beside those of the names; without either all that are shipped, without `only` all their data
    sets. Capitals do not matter. SettingsError where a name is unknown, or nothing is left.
    """
    tables = [*map(paper_tables.load, names), *own] or paper_tables.shipped()
    found = [entry for table in tables for entry in entries(table)]
    for dataset in only:
        known_name(dataset)
    on_these = [entry for entry in found if not only or entry.dataset in only]
    if not on_these:
        named = ", ".join(table.name for table in tables)
        raise SettingsError(f"{named} has no rows on {', '.join(only)}; choose another data set")
    matching = [entry for entry in on_these if _pattern(pattern).search(entry.text)]
    if not matching:
        raise SettingsError(f"no row is like {pattern!r}; --list shows them all")
    return matching


def distinct(chosen: Sequence[Entry]) -> dict[str, tuple[Run, int]]:
    """Return the runs that rows need by their names, each once, with the most epochs that a table has for it."""
    found: dict[str, tuple[Run, int]] = {}
    for entry in chosen:
        if entry.run is not None:
            epochs = found.get(entry.run.name, (entry.run, 0))[1]
            found[entry.run.name] = entry.run, max(epochs, entry.table.epochs)
    return found


def origins(chosen: Sequence[Entry]) -> str:
    """Return in words which data sets rows need, and where their files come from."""
    needed = {entry.dataset: None for entry in chosen}
    return "; ".join(f"{name}: {ORIGINS[name]}" for name in needed)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise SettingsError(f"the pattern {text!r} is not a regular expression: {error}") from error
