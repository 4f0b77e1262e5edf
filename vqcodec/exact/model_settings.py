"""All that a model file says of itself, checked in one place: names, types and ranges (FORMAT.md section 4)."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from vqcodec.errors import ModelError
from vqcodec.exact.bitstream.header import MODES, MOST_DEPTH
from vqcodec.exact.bitstream.patterns import PATTERNS

DTYPES = {
    "F16": "float16",
    "F32": "float32",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "I64": "int64",
}
"""The types that a tensor may have, as safetensors and NumPy call them."""
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_MOST_SIZE = 1 << 16

Check = Callable[[Any], bool]


def _whole(low: int, high: int) -> Check:
    return lambda value: type(value) is int and low <= value <= high


def _positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= sys.float_info.max


def _is(kind: type) -> Check:
    return lambda value: type(value) is kind


def _each(check: Check) -> Check:
    return lambda value: type(value) is list and all(map(check, value))


def _one_of(names: tuple[str, ...]) -> Check:
    return lambda value: type(value) is str and value in names


def _object_or_nothing(value: Any) -> bool:
    return value is None or type(value) is dict


def _size(value: Any) -> bool:
    """Return whether a network's setting is a size, a switch, or a list of sizes or of other numbers above 0."""
    return type(value) is bool or _whole(1, _MOST_SIZE)(value) or _each(_positive)(value)


_MODEL: dict[str, Check] = {
    "format": _whole(1, 1 << 32),
    "fingerprint": lambda value: type(value) is str and _FINGERPRINT.fullmatch(value) is not None,
    "network": _is(dict),
    "stride": _whole(1, _MOST_SIZE),
    "quantizer": _is(dict),
    "table_bits": _whole(8, 24),
}
_MODEL_MORE: dict[str, Check] = {
    "name": _is(str),
    "training": _is(dict),
    "search": _is(bool),
    "rate_weight": _positive,
}
_QUANTIZER: dict[str, Check] = {
    "name": _is(str),
    "K": _whole(2, 65536),
    "m": _whole(1, 4096),
    "d_star": _whole(1, 4096),
    "beta": _whole(1, 8),
    "mode": _one_of(MODES),
    "depth": _whole(1, max(MOST_DEPTH.values())),
    "wide": _whole(0, 4096),
}
_QUANTIZER_MORE: dict[str, Check] = {
    "scale": _positive,
    "match": _is(str),
    "levels": _each(_whole(1, _MOST_SIZE)),
}
_CONTEXT: dict[str, Check] = {
    "groups": _each(_whole(2, 2 * 4096)),
    "patterns": _each(_one_of(tuple(PATTERNS))),
    "starts": _each(_whole(0, _MOST_SIZE)),
    "embed": _whole(1, _MOST_SIZE),
    "hidden": _whole(1, _MOST_SIZE),
    "bound": _whole(0, 1 << 22),
}


def parse(text: str) -> dict[str, Any]:
    """Return the object in a model's JSON, checked; ModelError for what is none or has not the types it should have."""
    try:
        # NaN and Infinity are no JSON, though Python reads them: the second decoder may not.
        values = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ModelError("its description is no JSON; it is damaged") from error
    check(values)
    return dict(values)


def check(values: Any) -> None:
    """Raise ModelError for settings that are missing, unknown, of another type, or outside their range."""
    if not isinstance(values, dict):
        raise ModelError("its description is no object; it is damaged")
    _check("", values, _MODEL, _MODEL_MORE | dict.fromkeys(_PRIORS, _object_or_nothing))
    quantizer, network = values["quantizer"], values["network"]
    _check("quantizer.", quantizer, _QUANTIZER, _QUANTIZER_MORE)
    for kind, checked in _PRIORS.items():
        if values.get(kind) is not None:
            checked(values[kind])
    _check("network.", network, {"name": _is(str)}, dict.fromkeys(network, _size) | {"name": _is(str)})
    _check_quantizer(quantizer)


def _check_context(settings: dict[str, Any]) -> None:
    if "patterns" not in settings:
        raise ModelError("it has the context prior of version 1, this vqc reads version 2; train it anew")
    _check("context.", settings, _CONTEXT, {"masking": _is(bool)})


_PRIORS: dict[str, Callable[[dict[str, Any]], None]] = {"context": _check_context}
"""How the settings of priors that have any are checked."""


def check_own_codebooks(quantizer: Mapping[str, Any]) -> None:
    """Raise ModelError where units that have a codebook each are said to have what only a shared one allows."""
    beta, depth = quantizer["beta"], quantizer["depth"]
    if beta > 1 or depth > 1:
        raise ModelError(f"each unit has a codebook of its own, which beta {beta} and depth {depth} do not fit")


def check_tensor(name: str, dtype: str) -> None:
    """Raise ModelError for a tensor whose name or type (as safetensors has them) no model has."""
    if "\0" in name:
        raise ModelError(f"a tensor's name, {name!r}, holds a zero byte; the model is damaged or made to deceive")
    if dtype not in DTYPES:
        raise ModelError(f"the tensor {name} is of type {dtype}; a model has {', '.join(DTYPES)}")


def _check(place: str, values: dict[str, Any], needed: dict[str, Check], more: dict[str, Check]) -> None:
    checks = needed | more
    for key in (*needed, *values):
        if key not in values:
            raise ModelError(f"it says no {place}{key}; it is damaged")
        if key not in checks:
            raise ModelError(f"it says {place}{key}, which this vqc does not know; update vqc")
        if not checks[key](values[key]):
            raise ModelError(f"it says {place}{key}={values[key]!r:.60}, which no model has; it is damaged")


def _check_quantizer(quantizer: dict[str, Any]) -> None:
    """Raise ModelError for settings of a quantizer that contradict one another, whatever its layout is."""
    m, beta, depth, wide = (quantizer[key] for key in ("m", "beta", "depth", "wide"))
    depth_fits = depth == 2 and wide <= m if wide else depth == 1 or m == 1
    beta_fits = quantizer["mode"] == "all" if beta == 1 else depth == 1 or wide > 0
    if not depth_fits or not beta_fits:
        raise ModelError(f"its quantizer cannot have m {m}, beta {beta}, depth {depth} and {wide} wide; it is damaged")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
