"""The model's side of the reference decoder: settings, fingerprint and prior out of a .safetensors file.

It follows FORMAT.md section 4 and needs NumPy and the standard library only. The tensors of the two
priors are read in reference_static.py and reference_context.py.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from reference_context import Context, read_context
from reference_rans import DecodeError, Tensors, require
from reference_static import Static, read_static

DTYPES: Final = {"F16": "float16", "F32": "float32", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16",
                 "U32": "uint32", "I32": "int32", "I64": "int64"}  # fmt: skip

FINGERPRINTED: Final = ("network", "quantizer", "stride", "table_bits")
SETTINGS: Final = ("K", "m", "d_star", "beta", "mode", "depth", "wide")
MAX_FLOAT: Final = sys.float_info.max
MODES: Final = ("all", "conditional", "smooth")
Types = dict[str, type]
Unions = dict[str, tuple[type, ...]]
# Types of the settings that must be there, and of those that may be.
MODEL: Final[Types] = {"format": int, "fingerprint": str, "network": dict, "stride": int, "quantizer": dict,
                       "table_bits": int}  # fmt: skip
MODEL_MORE: Final[Unions] = {"name": (str,), "context": (dict, type(None)), "training": (dict,), "search": (bool,),
                             "rate_weight": (int, float)}  # fmt: skip
QUANTIZER: Final[Types] = {"name": str, "mode": str, "K": int, "m": int, "d_star": int, "beta": int, "depth": int,
                           "wide": int}  # fmt: skip
QUANTIZER_MORE: Final[Unions] = {"scale": (int, float), "match": (str,), "levels": (list,)}
NETWORK: Final[Types] = {"name": str}
CONTEXT: Final[Types] = {"groups": list, "patterns": list, "starts": list, "embed": int, "hidden": int, "bound": int}
CONTEXT_MORE: Final[Unions] = {"masking": (bool,)}


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
    prior_kind: str  # "static" or "context"
    own: bool  # every unit has a codebook of its own

    @property
    def planes(self) -> int:
        """P, the number of index planes."""
        return self.depth if self.layout == "stages" else self.m + self.wide

    @property
    def layout(self) -> str:
        """How indices stand for latents, FORMAT.md section 3.1."""
        if self.own:
            return "own"
        return "stages" if self.depth > 1 and self.wide == 0 else "shared"

    @property
    def factor(self) -> int:
        """f, how many times finer the index grid is than the latent grid along each side."""
        return 1 if self.mode == "smooth" else self.beta


def read_tensor(data: bytes, entry: dict[str, Any]) -> npt.NDArray[Any]:
    """One tensor of a safetensors file, little-endian and in C order."""
    begin, end = entry["data_offsets"]
    sizes = (begin, end, *entry["shape"])
    require(all(type(n) is int and n >= 0 for n in sizes), "model", f"A tensor of {sizes} has no such size or place.")
    dtype = np.dtype(DTYPES[entry["dtype"]]).newbyteorder("<")
    return np.frombuffer(data[begin:end], dtype).reshape(entry["shape"])


def read_safetensors(data: bytes) -> tuple[dict[str, Any], Tensors]:
    """The JSON object under "vqc" in the metadata of a safetensors file, and the tensors by name."""
    start = 8 + int.from_bytes(data[:8], "little")
    require(len(data) >= start > 8 and data[8:9] == b"{", "model", "The model file has no JSON.")
    entries = json.loads(data[8:start].decode(), parse_constant=refuse, object_pairs_hook=with_one_metadata)
    said = entries.pop("__metadata__")
    require(all(type(text) is str for text in said.values()), "model", "The model file's metadata are no strings.")
    metadata = json.loads(said["vqc"], parse_constant=refuse)
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
        require("\0" not in name, "model", f"The name of the tensor {name!r} holds a zero byte.")
        require(entry["data_offsets"][0] == end, "model", f"The tensor {name} does not begin where another ends.")
        end = entry["data_offsets"][1]
    require(start + end == len(data), "model", "The model file does not end with its last tensor.")
    tensors = {name: read_tensor(data[start:], entry) for name, entry in entries.items()}
    for name, tensor in tensors.items():
        finite = tensor.dtype.kind != "f" or bool(np.isfinite(tensor).all())
        require(finite, "model", f"The tensor {name} has numbers that are infinite or none.")
    return metadata, tensors


def refuse(constant: str) -> Any:
    """NaN and Infinity are no JSON."""
    raise ValueError(f"{constant} in the JSON")


def with_one_metadata(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The JSON object of these pairs; a file with two sets of metadata says nothing."""
    require([key for key, _ in pairs].count("__metadata__") < 2, "model", "The model file has metadata twice.")
    return dict(pairs)


def compute_fingerprint(metadata: dict[str, Any], tensors: Tensors) -> bytes:
    """The eight bytes that name a model by its settings and tensors, FORMAT.md section 4.2."""
    keys = FINGERPRINTED if metadata.get("context") is None else (*FINGERPRINTED, "context")
    settings = {key: metadata[key] for key in keys}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode())
    for name, tensor in sorted(tensors.items()):
        shape = ",".join(map(str, tensor.shape))
        digest.update(f"{name}\0{tensor.dtype.name}\0{shape}\0".encode() + tensor.tobytes())
    return digest.digest()[:8]


def check_types(metadata: Any) -> None:
    """What the settings are, before anything is computed of them, FORMAT.md section 4.1."""
    require(type(metadata) is dict, "model", "The model's settings are no object.")
    parts: tuple[tuple[Any, Types, Unions | None], ...] = (
        (metadata, MODEL, MODEL_MORE),
        (metadata.get("quantizer"), QUANTIZER, QUANTIZER_MORE),
        (metadata.get("network"), NETWORK, None),
        (metadata.get("context"), CONTEXT, CONTEXT_MORE),
    )
    for values, needed, more in parts:
        if values is None and needed is CONTEXT:
            continue
        require(type(values) is dict, "model", "A part of the model's settings is no object.")
        old = needed is CONTEXT and "patterns" not in values
        require(not old, "model", "The model's context prior is of version 1, which had no patterns.")
        for key, kind in needed.items():
            require(type(values.get(key)) is kind, "model", f"The model's {key} is missing or of a wrong type.")
        for key, value in values.items():
            require(more is None or key in needed or key in more, "model", f"The model has an unknown setting {key}.")
            fits = more is None or key in needed or type(value) in more[key]
            require(fits, "model", f"The model's {key} has a wrong type.")
    for key, value in metadata["network"].items():
        fits = key == "name" or type(value) is bool or (type(value) is int and 1 <= value <= 65536)
        if type(value) is list:
            fits = all(type(n) in (int, float) and 0 < n <= MAX_FLOAT for n in value)
        require(fits, "model", f"The network's {key} is no size, switch or list of numbers above 0.")
    levels, scale = metadata["quantizer"].get("levels", []), metadata["quantizer"].get("scale", 1)
    weight = metadata.get("rate_weight", 1)
    require(all(type(n) is int and 1 <= n <= 65536 for n in levels), "model", "The quantizer's levels are no sizes.")
    require(0 < scale <= MAX_FLOAT, "model", f"The quantizer's scale = {scale} is not above 0.")
    require(0 < weight <= MAX_FLOAT, "model", f"The rate weight {weight} is not above 0.")


def build_model(metadata: dict[str, Any], tensors: Tensors) -> Model:
    """The settings of a model; their ranges unchecked."""
    require(metadata["format"] == 1, "model", f"The model file has format {metadata['format']}, not 1.")
    said = metadata["fingerprint"]
    require(re.fullmatch("[0-9a-f]{16}", said) is not None, "model", "The fingerprint is not 16 hexadecimal digits.")
    fingerprint = bytes.fromhex(said)
    require(fingerprint == compute_fingerprint(metadata, tensors), "model", "The model file's fingerprint is wrong.")
    return Model(
        fingerprint=fingerprint,
        stride=metadata["stride"],
        table_bits=metadata["table_bits"],
        prior_kind="static" if metadata.get("context") is None else "context",
        own="codebook" in tensors and tensors["codebook"].ndim == 3,
        **{key: metadata["quantizer"][key] for key in SETTINGS},
    )


def check_settings(model: Model) -> None:
    """The settings that decoding computes with."""
    require(1 <= model.stride <= 65536, "model", f"The model's stride = {model.stride} is not in 1..65536.")
    fits = model.mode in MODES and 2 <= model.K <= 65536
    require(fits and 1 <= model.m <= 4096 and 1 <= model.d_star <= 4096, "model", "The quantizer is out of range.")
    require(1 <= model.depth <= 16 and model.wide >= 0, "model", "The model's depth or wide is out of range.")
    fits = 1 <= model.beta <= 8 and (model.beta == 1 or model.layout == "shared")
    require(fits, "model", f"The model's beta = {model.beta} does not fit the layout {model.layout!r}.")
    require(model.beta > 1 or model.mode == "all", "model", f"The model's mode = {model.mode} does not fit beta 1.")
    require(8 <= model.table_bits <= 24, "model", f"The model's table_bits = {model.table_bits} is not in 8..24.")
    if model.wide > 0:
        layout_fits = model.wide <= model.m and model.depth == 2 and not model.own
    elif model.depth > 1:
        layout_fits = model.m == 1 and not model.own
    else:
        layout_fits = model.wide == 0
    numbers = f"depth {model.depth}, m = {model.m}, wide = {model.wide}"
    require(layout_fits, "model", f"The model's {numbers} do not fit the layout {model.layout!r}.")
    if model.prior_kind == "context":
        kind = (model.layout, model.d_star, model.beta, model.mode, model.depth, model.wide)
        fits = kind == ("shared", 2, 1, "all", 2, model.m)
        require(fits, "model", f"The model's quantizer {kind} has no context prior.")


def read_model(data: bytes) -> tuple[Model, Static | Context]:
    """The part of a model file that decoding to indices needs, and the prior; all checked."""
    try:
        metadata, tensors = read_safetensors(data)
        check_types(metadata)
        model = build_model(metadata, tensors)
        check_settings(model)
        if model.prior_kind == "static":
            return model, read_static(tensors, model.K, model.planes, model.factor, model.mode, model.table_bits)
        settings = (model.K, model.m, model.table_bits, metadata["quantizer"]["scale"])
        return model, read_context(metadata["context"], tensors, *settings)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        raise DecodeError("model", f"This is not a vqc model file ({type(fault).__name__}: {fault}).") from fault
