"""The model's side of the reference decoder: settings and integer tables out of a .safetensors file.

It follows FORMAT.md section 4 and needs NumPy and the standard library only.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

DTYPES: Final = {"F16": "float16", "F32": "float32", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16",
                 "U32": "uint32", "I32": "int32", "I64": "int64"}  # fmt: skip

PRIOR_TENSORS: Final = ("tables", "table_map", "conditional_map", "class_tables", "class_map")

Integers = npt.NDArray[np.int64]
Tensors = dict[str, npt.NDArray[Any]]


class DecodeError(Exception):
    """A file or model that must be refused; `cause` is the name of the fault in FORMAT.md section 7."""

    def __init__(self, cause: str, sentence: str) -> None:
        super().__init__(sentence)
        self.cause = cause


def require(condition: bool, cause: str, sentence: str) -> None:
    """Raise a DecodeError unless `condition` holds."""
    if not condition:
        raise DecodeError(cause, sentence)


@dataclass(frozen=True)
class Model:
    """What decoding to indices needs of a model file."""

    fingerprint: bytes
    stride: int
    K: int
    m: int
    d_star: int
    beta: int
    mode: str
    depth: int
    wide: int
    table_bits: int
    tables: Integers  # [T, K], every row sums to 2^table_bits
    table_map: Integers  # [R, C, P], numbers of tables
    conditional_map: Integers | None = None  # [K], numbers of tables; only in mode "conditional"
    class_tables: Integers | None = None  # [Tc, C], every row sums to 2^table_bits; only with C > 1
    class_map: Integers | None = None  # [R, C + 1, C + 1], numbers of class tables; only with C > 1

    @property
    def planes(self) -> int:
        """P, the number of index planes."""
        return self.m + self.wide


def read_tensor(data: bytes, entry: dict[str, Any]) -> npt.NDArray[Any]:
    """One tensor of a safetensors file, little-endian and in C order."""
    begin, end = entry["data_offsets"]
    dtype = np.dtype(DTYPES[entry["dtype"]]).newbyteorder("<")
    return np.frombuffer(data[begin:end], dtype).reshape(entry["shape"])


def read_safetensors(data: bytes) -> tuple[dict[str, Any], Tensors]:
    """The JSON object under "vqc" in the metadata of a safetensors file, and the tensors by name."""
    start = 8 + int.from_bytes(data[:8], "little")
    entries = json.loads(data[8:start].decode())
    metadata = json.loads(entries.pop("__metadata__")["vqc"])
    return metadata, {name: read_tensor(data[start:], entry) for name, entry in entries.items()}


def compute_fingerprint(metadata: dict[str, Any], tensors: Tensors) -> bytes:
    """The eight bytes that name a model by its settings and tensors, FORMAT.md section 4.2."""
    settings = {key: metadata[key] for key in ("network", "stride", "quantizer", "table_bits")}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode())
    for name, tensor in sorted(tensors.items()):
        shape = ",".join(map(str, tensor.shape))
        digest.update(f"{name}\0{tensor.dtype.name}\0{shape}\0".encode() + tensor.tobytes())
    return digest.digest()[:8]


def build_model(metadata: dict[str, Any], tensors: Tensors) -> Model:
    """The model that metadata and tensors describe; unchecked but for its fingerprint."""
    require(metadata["format"] == 1, "model", f"The model file has format {metadata['format']}, not 1.")
    fingerprint = bytes.fromhex(metadata["fingerprint"])
    require(fingerprint == compute_fingerprint(metadata, tensors), "model", "The model file's fingerprint is wrong.")
    quantizer = metadata["quantizer"]
    settings = {key: quantizer[key] for key in ("K", "m", "d_star", "beta", "mode", "depth", "wide")}
    arrays: dict[str, Any] = {name: tensors[name].astype(np.int64) for name in PRIOR_TENSORS if name in tensors}
    return Model(
        fingerprint=fingerprint, stride=metadata["stride"], table_bits=metadata["table_bits"], **settings, **arrays
    )


def check_settings(model: Model) -> None:
    """The settings that decoding computes with."""
    require(model.stride >= 1, "model", f"The model's stride = {model.stride} is not a positive number.")
    require(8 <= model.table_bits <= 24, "model", f"The model's table_bits = {model.table_bits} is not in 8..24.")
    wide_fits = 1 <= model.wide <= model.m if model.depth == 2 else model.wide == 0
    require(wide_fits, "model", f"The model's wide = {model.wide} does not fit depth {model.depth}, m = {model.m}.")


def check_tables(name: str, tables: Integers, symbols: int, bits: int) -> int:
    """The number of rows of frequency tables [.., symbols], entries of at least 1, rows summing to 2^bits."""
    require(tables.ndim == 2 and tables.shape[1] == symbols >= 2, "model", f"The model's {name} have a wrong shape.")
    sums_fit = bool((tables.sum(axis=1) == 1 << bits).all())
    require(sums_fit and bool((tables >= 1).all()), "model", f"A row of {name} has a wrong sum or an entry below 1.")
    return len(tables)


def check_map(name: str, numbers: Integers, shape: tuple[int, ...], tables: int) -> None:
    """A map of this shape whose entries number existing tables."""
    fits = numbers.shape == shape and 0 not in shape and bool((numbers < tables).all())
    require(fits, "model", f"The model's {name} has a wrong shape or names a table that is not there.")


def check_prior(model: Model) -> None:
    """Tables and maps must be usable whatever the symbols are, and be there only where they are used."""
    require(model.table_map.ndim == 3, "model", "The model's table_map does not have three dimensions.")
    rows, classes, _ = model.table_map.shape
    tables = check_tables("tables", model.tables, model.K, model.table_bits)
    check_map("table_map", model.table_map, (rows, classes, model.planes), tables)
    conditional, class_tables, class_map = model.conditional_map, model.class_tables, model.class_map
    if conditional is not None:
        check_map("conditional_map", conditional, (model.K,), tables)
    if class_tables is not None and class_map is not None:
        count = check_tables("class_tables", class_tables, classes, model.table_bits)
        check_map("class_map", class_map, (rows, classes + 1, classes + 1), count)
    for name, tensor, wanted in (
        ("conditional_map", conditional, model.mode == "conditional"),
        ("class_tables", class_tables, classes > 1),
        ("class_map", class_map, classes > 1),
    ):
        require((tensor is not None) == wanted, "model", f"The model's {name} is missing, or there without a use.")


def read_model(data: bytes) -> Model:
    """The part of a model file that decoding to indices needs, checked."""
    try:
        model = build_model(*read_safetensors(data))
        check_settings(model)
        check_prior(model)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        raise DecodeError("model", f"This is not a vqc model file ({type(fault).__name__}: {fault}).") from fault
    return model
