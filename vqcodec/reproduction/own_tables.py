"""Tables that users write: files of the form of paper_tables/*.toml, whose mistakes are errors in a sentence.

Everything but title, datasets and rows may be left out. The quantizer of a row may be of another package
(quantizers/packages.py), and a row may be like one of the papers' tables.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from vqcodec import quantizers
from vqcodec.errors import SettingsError
from vqcodec.files import read_file
from vqcodec.reproduction import paper_tables
from vqcodec.reproduction.paper_tables import FIGURE_KINDS, FIGURES, PaperTable
from vqcodec.reproduction.runs import NOT_OF_THE_RUN, Entry, entries
from vqcodec.training.papers.settings import AutoencoderSettings
from vqcodec.training.pictures.datasets import Name
from vqcodec.training.recipe import check_value

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_Raw = Mapping[str, Any]
_TABLE: dict[str, Any] = {
    "title": str, "source": str, "note": str, "datasets": tuple, "epochs": int, "on": Mapping, "rows": tuple,
    "figure": Literal,
}  # fmt: skip
_USUAL = {"source": "", "note": "", "epochs": 500}
_ROW: dict[str, Any] = {
    "label": str, "settings": Mapping, "published": Mapping, "on": Mapping, "variants": Mapping, "quick": Mapping,
    "only": tuple, "quick_only": tuple, "like": Mapping,
}  # fmt: skip
_LIKE: dict[str, Any] = {"table": str, "label": str, "settings": Mapping}
# A run begins anew and trains on the whole set, as long as its budget says.
_SETTINGS = {
    field.name: get_type_hints(AutoencoderSettings)[field.name]
    for field in fields(AutoencoderSettings)
    if field.name not in NOT_OF_THE_RUN | {"init", "stream", "validation_pictures"}
} | {"as_vqgan": bool}


def read(paths: Sequence[Path]) -> list[PaperTable]:
    """Return the tables of TOML files, each under the name of its file; SettingsError for what is wrong in one."""
    found: dict[str, PaperTable] = {}
    for path in paths:
        if path.stem in found or path.stem in paper_tables.names():
            raise SettingsError(f"there is a table {path.stem!r} already; give {path} another name")
        found[path.stem] = _read(path)
    return list(found.values())


def _read(path: Path) -> PaperTable:
    where = f"table {path}"
    try:
        raw = tomllib.loads(read_file(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{where} is not valid TOML: {error}") from error
    _check(where, raw, _TABLE, ("title", "datasets", "rows"))
    _check_datasets(f"{where}: datasets", raw["datasets"])
    _check_on(where, raw)
    if raw.get("epochs", 1) < 1:
        raise SettingsError(f"{where}: epochs is {raw['epochs']}; choose 1 or more")
    if raw.get("figure", FIGURE_KINDS[0]) not in FIGURE_KINDS:
        raise SettingsError(f"{where}: figure is {raw['figure']!r}; choose from {', '.join(FIGURE_KINDS)}")
    rows = [_row(f"{where}, row {number}", values) for number, values in enumerate(raw["rows"], 1)]
    try:
        table = paper_tables.table(path.stem, _USUAL | raw | {"rows": rows})
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error
    for entry in entries(table):
        _check_run(where, entry)
    return table


def _check_run(where: str, entry: Entry) -> None:
    """Make the quantizer of a run: what does not fit together is known before hours of training."""
    try:
        if entry.run is not None:
            quantizers.build(entry.run.settings.quantizer_settings(), entry.run.settings.options)
    except SettingsError as error:
        raise SettingsError(f"{where}, row {entry.row.method!r}: {error}") from error


def _row(where: str, values: Any) -> _Raw:
    """Return a row with what it may leave out; of one that is like another, what it says itself."""
    if not isinstance(values, dict):
        raise SettingsError(f"{where} must be a table; write [[rows]]")
    is_like = "like" in values
    _check(where, values, _ROW, () if is_like else ("label", "settings"))
    if is_like:
        _check(f"{where}: like", values["like"], _LIKE, ("table", "label"))
        _check(f"{where}: like: settings", values["like"].get("settings", {}), _SETTINGS)
    for key in ("settings", "quick"):
        _check(f"{where}: {key}", values.get(key, {}), _SETTINGS)
    _check_on(where, values)
    for key in ("only", "quick_only"):
        _check_datasets(f"{where}: {key}", values.get(key, ()))
    _check_named(f"{where}: variants", values.get("variants", {}), _SETTINGS)
    _check_named(f"{where}: published", values.get("published", {}), dict.fromkeys(FIGURES, float))
    return values if is_like else {"published": {}} | values


def _check(where: str, values: _Raw, known: _Raw, needed: Collection[str] = ()) -> None:
    for key, value in values.items():
        check_value(where, key, value, known)
    if missing := [key for key in needed if not values.get(key)]:
        raise SettingsError(f"{where} lacks {', '.join(missing)}; add it")


def _check_on(where: str, values: _Raw) -> None:
    on = values.get("on", {})
    _check_datasets(f"{where}: on", on)
    _check_named(f"{where}: on", on, _SETTINGS)


def _check_datasets(where: str, names: Iterable[Any]) -> None:
    for name in names:
        if name not in get_args(Name):
            raise SettingsError(f"{where} names a data set {name!r}; choose from {', '.join(get_args(Name))}")


def _check_named(where: str, named: _Raw, known: _Raw) -> None:
    """Check tables of values by their names: of variants, data sets, or what was published."""
    for name, values in named.items():
        if not isinstance(values, dict):
            raise SettingsError(f"{where}.{name} must be a table, not {values!r}")
        _check(f"{where}.{name}", values, known)
