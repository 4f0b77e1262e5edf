"""The papers' tables as data: paper_tables/*.toml, one a table.

    title, source, datasets, epochs, note, on.DATASET (settings of all rows that differ on a data set)
    figure (one of FIGURE_KINDS that is drawn beside the table)
    [[rows]]      label, settings (those of AutoencoderSettings), published.DATASET (figures)
                  on.DATASET (settings of the row that differ on a data set)
                  variants.NAME (settings that differ; beside QUICK where the name ends in quick)
                  as_vqgan = true (among any settings: those of AS_VQGAN)
                  quick (the variant of that name)
                  only, quick_only (the data sets that the row, or its variants that end in quick, are for if not all)
                  like (a row of another table that holds where this is silent, with what that table says on data
                  sets: table, label, and settings of it where several rows have the label)

A row without settings is published, but not built here. Published figures under another name than that of a
data set are of other data. Tables of users have the same form (own_tables.py).
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from vqcodec.errors import SettingsError
from vqcodec.training.pictures.datasets import LARGE, Name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent / "paper_tables"
FIGURES = ("psnr_db", "ssim", "l1", "lpips", "rfid", "fid", "usage")
"""Names of published figures."""
FIGURE_KINDS = ("codevectors", "training")
"""What a table's drawing shows: rows over K, or a run over its epochs; see figures.py."""
QUICK = {
    "match": "l2",
    "batch": 8,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "adam_beta2": 0.95,
    "quantizer_weight": 4.0,
}
"""Settings of the variant `quick`, which needs few epochs; docs/lab/small-pictures.md has the experiments."""

AS_VQGAN: Mapping[str, Any] = {
    "mse_weight": 0.0,
    "losses": {"l1": 2.0, "features": 1.0},
    "adversarial": 0.8,
    "adam_beta1": 0.5,
}
"""VQGAN's loss, which `as_vqgan = true` stands for among settings of rows; docs/quantizers.md compares the two."""

QUICK_ON: Mapping[Name, Mapping[str, Any]] = {name: {"width": 16, "crop": 64} for name in ("photos", *LARGE)}
"""What differs from QUICK on a data set: a network of an eighth of the width, and pictures are shown in parts."""

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

    settings: those of AutoencoderSettings that make it by data set of the table, where it is built on that one;
    published: figures by their names, by data set; variant: how the row differs from what is published, or "".
    """

    label: str
    variant: str
    settings: Mapping[Name, Mapping[str, Any]]
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
    """A table: where it is from, the data sets on which its rows are trained here, and the epochs published.

    figure: one of FIGURE_KINDS, or "" where nothing is drawn.
    """

    name: str
    title: str
    source: str
    note: str
    datasets: tuple[Name, ...]
    epochs: int
    rows: tuple[Row, ...]
    figure: str = ""


def names() -> list[str]:
    """Return the names of all tables."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def shipped() -> list[PaperTable]:
    """Return all tables."""
    return [load(name) for name in names()]


def load(name: str) -> PaperTable:
    """Return a table; SettingsError where there is none of that name."""
    return table(name, _read(name))


def table(name: str, raw: Mapping[str, Any]) -> PaperTable:
    """Return the table of what a file holds; SettingsError where a row is like none or like several."""
    datasets = tuple(cast(Name, dataset) for dataset in raw["datasets"])
    rows = tuple(row for values in raw["rows"] for row in _rows(values, datasets, raw.get("on", {})))
    said = raw["title"], raw["source"], raw["note"]
    return PaperTable(name, *said, datasets, raw["epochs"], rows, raw.get("figure", ""))


def _read(name: str) -> _Raw:
    if name not in names():
        raise SettingsError(f"there is no table {name!r}; choose from {', '.join(names())}")
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def _rows(values: _Raw, datasets: tuple[Name, ...], on: _Raw) -> list[Row]:
    """Return a row as it is published, then its variants; `on` has what differs by data set in the whole table."""
    values = _completed(values)
    variants = {"": {}} | values.get("variants", {})
    if "quick" in values:
        variants["quick"] = values["quick"]
    return [_row(values, variant, changed, datasets, on) for variant, changed in variants.items()]


def _row(values: _Raw, variant: str, changed: _Raw, datasets: tuple[Name, ...], on: _Raw) -> Row:
    settings: dict[Name, Mapping[str, Any]] = {}
    for dataset in datasets if "settings" in values else ():
        built: Collection[str] = values.get("only", datasets)
        if dataset not in built or (_is_quick(variant) and dataset not in values.get("quick_only", built)):
            continue
        quick = quick_on(dataset) if _is_quick(variant) else {}
        parts = values["settings"], on.get(dataset, {}), values.get("on", {}).get(dataset, {}), quick, changed
        settings[dataset] = {key: value for part in parts for key, value in _meant(part).items()}
    return Row(values["label"], variant, settings, values["published"])


def _meant(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with those of AS_VQGAN in the place of as_vqgan, but where they say otherwise."""
    said = {key: value for key, value in settings.items() if key != "as_vqgan"}
    return {**AS_VQGAN, **said} if settings.get("as_vqgan") else said


def _is_quick(variant: str) -> bool:
    return variant.split(", ")[-1] == "quick"


def _completed(values: _Raw) -> _Raw:
    """Return a row with what it leaves to the one that it is like."""
    if "like" not in values:
        return values
    found = _found(**values["like"])
    return found | values | {"on": _merged(found["on"], values.get("on", {}))}


def _found(table: str, label: str, settings: Mapping[str, Any] = {}) -> _Raw:
    """Return the one row of a label and settings, whose `on` has that of its table too: it is to be the same run."""
    raw = _read(table)
    named: list[_Raw] = [values for values in raw["rows"] if values.get("label") == label]
    rows = [values for values in named if settings.items() <= values.get("settings", {}).items()]
    if not rows:
        said = f" of {dict(settings)}" if named else ""
        raise SettingsError(f"table {table!r} has no row {label!r}{said}; --list shows them all")
    if len(rows) > 1:
        raise SettingsError(
            f"the label {label!r} is ambiguous: table {table!r} has {len(rows)} such rows; add settings of one to "
            f"like (they differ in {', '.join(_differing([values.get('settings', {}) for values in rows]))})"
        )
    return rows[0] | {"on": _merged(raw.get("on", {}), rows[0].get("on", {}))}


def _differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = sorted({key for values in settings for key in values})
    return [key for key in keys if any(values.get(key) != settings[0].get(key) for values in settings)]


def _merged(one: _Raw, other: _Raw) -> _Raw:
    """Return settings by data set, where the other's come after the one's."""
    return {dataset: one.get(dataset, {}) | other.get(dataset, {}) for dataset in {**one, **other}}
