"""Options of a quantizer's method: a frozen dataclass per class, filled from plain values with errors in a sentence."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin

from vqcodec.errors import SettingsError

T = TypeVar("T")


def parse_options(kind: type[T], values: Mapping[str, Any], method: str) -> T:
    """Return kind(**values); fields are Literals, bools, ints and floats, and SettingsError names what does not fit.

    Strings are read as the field's type, so that options of the command line need no types of their own.
    """
    hints = typing.get_type_hints(kind)
    known = [field.name for field in fields(kind)] if is_dataclass(kind) else []
    parsed = {}
    for key, value in values.items():
        if key not in known:
            listed = f"known: {', '.join(known)}" if known else "it has none"
            raise SettingsError(f"quantizer {method!r} has no option {key!r}; {listed}")
        parsed[key] = _parse(hints[key], value, f"option {key} of quantizer {method!r}")
    return kind(**parsed)


def _parse(hint: Any, value: Any, what: str) -> Any:
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise SettingsError(f"{what} is {value!r}; choose one of {', '.join(get_args(hint))}")
        return value
    if hint is bool:
        if str(value).lower() not in ("true", "false"):
            raise SettingsError(f"{what} is {value!r}; choose true or false")
        return str(value).lower() == "true"
    try:
        return hint(value)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{what} is {value!r}, which is not a number") from error
