"""A model as one .safetensors file: weights, codebook, tables, settings; and its fingerprint.

Reading needs no torch. The metadata holds one JSON object under the key "vqc" (metadata.py). The
fingerprint covers what decoding depends on (network, stride, quantizer, table_bits and every
tensor), not the name or the notes about training, and not how the file is laid out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from vqcodec.errors import ModelError
from vqcodec.exact import model_settings
from vqcodec.exact.metadata import (
    DEFAULT_MODEL,
    FORMAT,
    METADATA_KEY,
    PROXIMAL_KEY,
    Metadata,
    find,
    named,
    needed,
    read_metadata,
    resolve,
    shipped,
)
from vqcodec.exact.priors import PRIORS, Prior
from vqcodec.exact.priors.base import Arrays

__all__ = [
    "DEFAULT_MODEL",
    "NETWORK_PREFIX",
    "Arrays",
    "Metadata",
    "find",
    "fingerprint",
    "load",
    "load_prior",
    "make_prior",
    "needed",
    "read_metadata",
    "resolve",
    "shipped",
    "to_bytes",
]

NETWORK_PREFIX = "network."
_RATE_WEIGHT_KEY = "rate_weight"
_HALF_EXPONENT = np.uint16(0x7C00)
_DECODING_KEYS = ("network", "stride", "quantizer", "table_bits")


def fingerprint(metadata: Metadata, arrays: Arrays) -> str:
    """Return 16 hexadecimal digits that identify what decoding depends on."""
    digest = hashlib.sha256(json.dumps(_decoding_settings(metadata), sort_keys=True, separators=(",", ":")).encode())
    for name in sorted(arrays):
        # Little-endian on every machine, or one model would have two names.
        array = np.ascontiguousarray(arrays[name], arrays[name].dtype.newbyteorder("<"))
        shape = ",".join(map(str, array.shape))
        digest.update(b"\0".join((name.encode(), array.dtype.name.encode(), shape.encode(), b"")))
        digest.update(array.data)
    return digest.hexdigest()[:16]


def to_bytes(metadata: Metadata, arrays: Arrays) -> bytes:
    """Return the model file; its fingerprint is computed here."""
    values = _decoding_settings(metadata) | {"name": metadata.name, "training": metadata.training}
    values |= {"format": FORMAT, "fingerprint": fingerprint(metadata, arrays)}
    if not metadata.proximal:
        values[PROXIMAL_KEY] = False
    if metadata.rate_weight is not None:
        values[_RATE_WEIGHT_KEY] = metadata.rate_weight
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    data: bytes = save(contiguous, {METADATA_KEY: json.dumps(values, sort_keys=True)})
    return data


def load(path: Path) -> tuple[Metadata, Arrays]:
    """Return metadata and all tensors of a model file; its fingerprint is verified."""
    with _opened(path) as file:
        metadata = read_metadata(path)
        arrays = _tensors(path, file, file.keys())
    with named(path):
        _check_finite(arrays)
    # A damaged weight would decode to other indices, and nothing else would notice.
    if fingerprint(metadata, arrays) != metadata.fingerprint:
        raise ModelError(f"{path}: the fingerprint does not match the contents; the model file is damaged")
    return metadata, arrays


def load_prior(path: Path, *, verify: bool = False) -> tuple[Metadata, Prior]:
    """Return metadata and prior of a model file, reading none of its weights unless to `verify` its fingerprint."""
    if verify:
        metadata, arrays = load(path)
        return metadata, make_prior(metadata, arrays)
    with _opened(path) as file:
        metadata = read_metadata(path)
        owns = PRIORS[metadata.prior].owns
        names = [name for name in file.keys() if owns(name)]  # noqa: SIM118
        arrays = _tensors(path, file, names)
    return metadata, make_prior(metadata, arrays)


def make_prior(metadata: Metadata, arrays: Arrays) -> Prior:
    """Return the prior that a model's tensors hold; ModelError where they do not fit its settings."""
    try:
        prior = PRIORS[metadata.prior].of_model(metadata, arrays)
        K, planes = metadata.quantizer["K"], metadata.planes
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ModelError(f"the model's quantizer settings are incomplete or damaged: {error}") from error
    if (prior.K, prior.planes) != (K, planes):
        raise ModelError(
            f"the model's tables are for K={prior.K} and {prior.planes} planes, its quantizer has K={K} and {planes}"
        )
    return prior


def _decoding_settings(metadata: Metadata) -> dict[str, Any]:
    """Return the settings that decoding depends on; those of the prior only where it has any."""
    settings = {key: getattr(metadata, key) for key in _DECODING_KEYS}
    return settings | ({metadata.prior: metadata.prior_settings} if metadata.prior_settings else {})


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="numpy")
    except FileNotFoundError as error:
        raise ModelError(f"model {path} does not exist") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a model file: {error}") from error


def _tensors(path: Path, file: Any, names: Iterable[str]) -> Arrays:
    """Return tensors of an open file; all names and types are checked first."""
    with named(path):
        for name in file.keys():  # noqa: SIM118
            model_settings.check_tensor(name, file.get_slice(name).get_dtype())
    return {name: file.get_tensor(name) for name in names}


def _check_finite(arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Raise ModelError for a tensor with numbers that are infinite or none."""
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not _is_finite(array):
            raise ModelError(f"the tensor {name} has numbers that are infinite or none; the model is damaged")


def _is_finite(array: npt.NDArray[Any]) -> bool:
    if array.dtype != np.float16:
        return bool(np.isfinite(array).all())
    # Numbers that are infinite or none have all bits of the exponent; NumPy takes four times as long to say so.
    return bool(((array.view(np.uint16) & _HALF_EXPONENT) != _HALF_EXPONENT).all())
