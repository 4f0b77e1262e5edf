"""The model's side of the reference decoder: settings, fingerprint and prior out of a .safetensors file.

It follows FORMAT.md section 4 and needs NumPy and the standard library only. The tensors of the two
priors are read in reference_static.py and reference_context.py.
"""

from __future__ import annotations

import hashlib
import json
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
    keys = FINGERPRINTED if metadata.get("context") is None else (*FINGERPRINTED, "context")
    settings = {key: metadata[key] for key in keys}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode())
    for name, tensor in sorted(tensors.items()):
        shape = ",".join(map(str, tensor.shape))
        digest.update(f"{name}\0{tensor.dtype.name}\0{shape}\0".encode() + tensor.tobytes())
    return digest.digest()[:8]


def build_model(metadata: dict[str, Any], tensors: Tensors) -> Model:
    """The settings of a model; unchecked but for its fingerprint."""
    require(metadata["format"] == 1, "model", f"The model file has format {metadata['format']}, not 1.")
    fingerprint = bytes.fromhex(metadata["fingerprint"])
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
    require(model.stride >= 1, "model", f"The model's stride = {model.stride} is not a positive number.")
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
        model = build_model(metadata, tensors)
        check_settings(model)
        if model.prior_kind == "static":
            return model, read_static(tensors, model.K, model.planes, model.factor, model.mode, model.table_bits)
        settings = (model.K, model.m, model.table_bits, metadata["quantizer"]["scale"])
        return model, read_context(metadata["context"], tensors, *settings)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        raise DecodeError("model", f"This is not a vqc model file ({type(fault).__name__}: {fault}).") from fault
