"""Settings of a run from defaults, TOML recipes and options.

A recipe is a TOML file. `kind` says what run it is of: `photo`, whose keys are the fields of TrainingSettings, `looks`,
those of PerceptualSettings, or `papers`, those of AutoencoderSettings. `base = "other.toml"` names a recipe
beside it whose values hold where this one is silent, so that a recipe shows just what is different. An unknown
key is an error. Options of the command line win.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Union, get_origin, get_type_hints

from vqcodec.errors import SettingsError
from vqcodec.quantizers import names_by_rate
from vqcodec.training.looks.settings import PerceptualSettings
from vqcodec.training.papers.settings import NETWORK_NAMES, AutoencoderSettings
from vqcodec.training.photo.settings import TrainingSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Settings = TrainingSettings | AutoencoderSettings | PerceptualSettings
KINDS: dict[str, type[Settings]] = {
    "photo": TrainingSettings,
    "looks": PerceptualSettings,
    "papers": AutoencoderSettings,
}
_TYPES: dict[Any, tuple[tuple[type, ...], str]] = {
    int: ((int,), "int"),
    float: ((int, float), "float"),
    str: ((str,), "str"),
    bool: ((bool,), "bool"),
    tuple: ((list,), "list"),
    Mapping: ((dict,), "table"),
    Literal: ((str,), "str"),
    Union: ((bool, str), "bool or str"),
}
"""What a recipe may say for a field of some type, and how that is called."""


def read_recipe(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the values of a recipe and of the recipes it is based on; SettingsError for what is wrong in them.

    `seconds` without `steps` sets the length of the run as a time.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"recipe {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"recipe {path} is not valid TOML: {error}") from error
    base = values.pop("base", None)
    hints = {kind: get_type_hints(kind) for kind in KINDS.values()}
    known = {"kind": str} | {field.name: hints[kind][field.name] for kind in hints for field in fields(kind)}
    for key, value in values.items():
        check_value(f"recipe {path}", key, value, known)
    if values.get("seconds") and "steps" not in values:
        values["steps"] = 0
    if base is None:
        return values
    if not isinstance(base, str) or path.resolve() in seen:
        raise SettingsError(f"recipe {path}: base must name another recipe file, and not lead back to this one")
    return read_recipe(path.parent / base, (*seen, path.resolve())) | values


def make_settings(recipe: Path | None, options: dict[str, Any], resumed: dict[str, Any] | None = None) -> Settings:
    """Combine defaults, the settings of a resumed run, a recipe and options (None means not given); the last win.

    Without a network the quantizers of the photo network get that one, the others `vqvae`. What follows
    from other values unless it is said: see `completed` of either dataclass.
    """
    values = dict(resumed or {}) | (read_recipe(recipe) if recipe else {})
    values |= {key: value for key, value in options.items() if value is not None}
    if options.get("seconds") is not None:
        values["steps"] = 0
    name = values.pop("kind", None) or _kind_of(values)
    if name not in KINDS:
        raise SettingsError(f"kind {name!r} is unknown; choose one of {', '.join(KINDS)}")
    kind, said = KINDS[name], f"kind {name!r}"
    known = {field.name for field in fields(kind)}
    if unknown := sorted(set(values) - known):
        if resumed and set(unknown) & set(resumed):
            raise SettingsError(f"the run to resume was not of {said}; leave the recipe out, or start without --resume")
        raise SettingsError(f"{said} has no setting {', '.join(unknown)}; leave it out")
    return kind(**kind.completed(values))


def _kind_of(values: Mapping[str, Any]) -> str:
    """Return the kind of a run that does not say it: a recipe's from before there were kinds, or options alone."""
    if "objective" in values:
        return "looks"
    by_rate = values.get("quantizer", TrainingSettings.quantizer) in names_by_rate()
    usual = TrainingSettings.network if by_rate else NETWORK_NAMES[0]
    return "papers" if values.get("network", usual) in NETWORK_NAMES else "photo"


def check_value(where: str, key: str, value: Any, known: Mapping[str, Any]) -> None:
    """Raise SettingsError for a key that is not `known` by its type hint, or a value of another type."""
    if key not in known:
        raise SettingsError(f"{where} has the unknown key {key!r}; known keys: {', '.join(sorted(known))}")
    allowed, kind = _TYPES[get_origin(known[key]) or known[key]]
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        raise SettingsError(f"{where}: {key} must be a {kind}, not {value!r}")
    if known[key] == Mapping[str, float]:
        _check_numbers(where, key, value)


def _check_numbers(where: str, key: str, values: Any) -> None:
    for name, number in values.items():
        if not isinstance(number, int | float) or isinstance(number, bool):
            raise SettingsError(f"{where}: {key}.{name} must be a number, not {number!r}")
