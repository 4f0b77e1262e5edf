"""The papers' tables as data: paper_tables/*.toml, one a table.

    title, source, datasets, epochs, note, on.DATASET (settings of all rows that differ on a data set)
    [[rows]]      label, settings (those of AutoencoderSettings), published.DATASET (figures)
                  on.DATASET (settings of the row that differ on a data set)
                  variants.NAME (settings that differ; beside QUICK where the name ends in quick)
                  quick (the variant of that name)
                  like (a row of another table that holds where this is silent)

A row without settings is published, but not built here. Published figures under another name than that of a
data set are of other data.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from vqcodec.errors import SettingsError
from vqcodec.training.pictures.datasets import Name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent / "paper_tables"
FIGURES = ("psnr_db", "ssim", "l1", "lpips", "rfid", "usage")
"""Names of published figures."""
QUICK = {
    "match": "l2",
    "batch": 8,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "adam_beta2": 0.95,
    "quantizer_weight": 4.0,
}
"""Settings of the variant `quick`, which needs few epochs; docs/lab/small-pictures.md has the experiments."""

QUICK_ON: Mapping[Name, Mapping[str, Any]] = {"photos": {"width": 16, "crop": 64}}
"""What differs from QUICK on a data set: a network of an eighth of the width, and tiles are shown in parts."""

START_ON: Mapping[Name, Mapping[str, Any]] = {
    "photos": {"quantizer": "looc", "K": 256, "m": 64, "options": {"learn": "ema"}}
}
"""What, beside QUICK, makes the run whose network quick rows on a data set begin with."""
START_EPOCHS = 15
"""The epochs of that run, whatever the budget is."""

_Raw = dict[str, Any]


def quick_on(dataset: Name) -> dict[str, Any]:
    """Return the settings of the variant `quick` on a data set."""
    return {**QUICK, **QUICK_ON.get(dataset, {})}


@dataclass(frozen=True)
class Row:
    """One row of a table, or one of its variants.

    settings: those of AutoencoderSettings that make it by data set of the table, None where it is not built here;
    published: figures by their names, by data set; variant: how the row differs from what is published, or "".
    """

    label: str
    variant: str
    settings: Mapping[Name, Mapping[str, Any]] | None
    published: Mapping[str, Mapping[str, float]]

    @property
    def is_quick(self) -> bool:
        """Whether it is trained with QUICK."""
        return _is_quick(self.variant)

    @property
    def method(self) -> str:
        """The label with the variant."""
        return f"{self.label}, {self.variant}" if self.variant else self.label


@dataclass(frozen=True)
class PaperTable:
    """A table: where it is from, the data sets on which its rows are trained here, and the epochs published."""

    name: str
    title: str
    source: str
    note: str
    datasets: tuple[Name, ...]
    epochs: int
    rows: tuple[Row, ...]


def names() -> list[str]:
    """Return the names of all tables."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str) -> PaperTable:
    """Return a table; SettingsError where there is none of that name."""
    raw = _read(name)
    datasets = tuple(cast(Name, dataset) for dataset in raw["datasets"])
    rows = tuple(row for values in raw["rows"] for row in _rows(values, datasets, raw.get("on", {})))
    return PaperTable(name, raw["title"], raw["source"], raw["note"], datasets, raw["epochs"], rows)


def _read(name: str) -> _Raw:
    if name not in names():
        raise SettingsError(f"there is no table {name!r}; choose from {', '.join(names())}")
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def _rows(values: _Raw, datasets: tuple[Name, ...], on: _Raw) -> list[Row]:
    """Return a row as it is published, then its variants; `on` has what differs by data set in the whole table."""
    if "like" in values:
        values = _found(**values["like"]) | values
    variants = {"": {}} | values.get("variants", {})
    if "quick" in values:
        variants["quick"] = values["quick"]
    return [_row(values, variant, changed, datasets, on) for variant, changed in variants.items()]


def _row(values: _Raw, variant: str, changed: _Raw, datasets: tuple[Name, ...], on: _Raw) -> Row:
    settings: dict[Name, Mapping[str, Any]] = {}
    for dataset in datasets if "settings" in values else ():
        usual = values["settings"] | on.get(dataset, {}) | values.get("on", {}).get(dataset, {})
        quick = quick_on(dataset) if _is_quick(variant) else {}
        settings[dataset] = usual | quick | changed
    return Row(values["label"], variant, settings or None, values["published"])


def _is_quick(variant: str) -> bool:
    return variant.split(", ")[-1] == "quick"


def _found(table: str, label: str) -> _Raw:
    return next(values for values in _read(table)["rows"] if values.get("label") == label)
