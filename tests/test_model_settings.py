"""A hostile or damaged model is a ModelError, before memory is asked for, and the reference decoder says the same."""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import Run

from vqcodec.codec import Codec
from vqcodec.errors import ModelError
from vqcodec.exact import model_file

sys.path.insert(0, str(Path(__file__).parent.parent / "bitstream"))

from reference_model import read_model
from reference_rans import DecodeError


def taken_apart(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON of a model file and the bytes of its tensors."""
    start = 8 + struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:start]), data[start:]


def put_together(entries: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def with_settings(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """A model whose object `vqc` is changed and whose fingerprint is right again, where it can be."""
    entries, body = taken_apart(data)
    values = json.loads(entries["__metadata__"]["vqc"])
    change(values)
    entries["__metadata__"]["vqc"] = json.dumps(values)
    return put_together(entries, body)


def refused(path: Path, data: bytes) -> str:
    """What is said of a model that both decoders must refuse."""
    path.write_bytes(data)
    with pytest.raises(ModelError) as error:
        Codec.open(path)
    with pytest.raises(DecodeError) as other:
        read_model(data)
    assert other.value.cause == "model"
    return str(error.value)


@pytest.fixture(scope="module", params=["tiny", "context"])
def model(request: pytest.FixtureRequest) -> bytes:
    """A model with a static prior, and one with a context prior."""
    name = {"tiny": "tiny_model", "context": "context_model"}[request.param]
    data: bytes = request.getfixturevalue(name).read_bytes()
    return data


STRANGE = (None, True, 0, -1, 1.5, 2.0, math.nan, math.inf, "x", [], [1.5], {}, {"a": 1}, 2**70)
KEYS = (
    "name",
    "fingerprint",
    "network",
    "stride",
    "quantizer",
    "table_bits",
    "training",
    "search",
    "rate_weight",
    *(f"quantizer.{key}" for key in ("name", "K", "m", "d_star", "beta", "mode", "depth", "wide", "new")),
    *(f"network.{key}" for key in ("name", "d", "widths")),
)


@pytest.mark.parametrize("key", KEYS)
def test_settings_of_other_types_and_ranges(tmp_path: Path, model: bytes, key: str) -> None:
    outer, _, inner = key.partition(".")

    def change(values: dict[str, Any], value: Any) -> None:
        place = values[outer] if inner else values
        place[inner or outer] = value

    right = taken_apart(model)[0]["__metadata__"]["vqc"]
    for value in STRANGE:
        allowed = {"name": str, "training": dict, "search": bool}.get(key)
        if isinstance(value, allowed or ()) or (key == "rate_weight" and value in (1.5, 2.0, 2**70)):
            continue
        data = with_settings(model, lambda values, value=value: change(values, value))
        if json.loads(taken_apart(data)[0]["__metadata__"]["vqc"]) != json.loads(right):
            refused(tmp_path / "model.safetensors", data)


@pytest.mark.parametrize(
    "key", KEYS[1:6] + tuple(key for key in KEYS if key.startswith("quantizer.") and "new" not in key)
)
def test_settings_that_are_missing(tmp_path: Path, model: bytes, key: str) -> None:
    outer, _, inner = key.partition(".")
    data = with_settings(model, lambda values: (values[outer] if inner else values).pop(inner or outer))
    assert "it says no " in refused(tmp_path / "model.safetensors", data)


def test_nested_json_holes_and_trailing_bytes(tmp_path: Path, model: bytes) -> None:
    path = tmp_path / "model.safetensors"
    entries, body = taken_apart(model)
    entries["__metadata__"]["vqc"] = "[" * 100_000
    refused(path, put_together(entries, body))
    refused(path, model + b"\0")
    refused(path, model[:-1])
    entries, body = taken_apart(model)
    for entry in entries.values():
        if "data_offsets" in entry:
            entry["data_offsets"] = [8 + offset for offset in entry["data_offsets"]]
    refused(path, put_together(entries, bytes(8) + body))


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F8_E5M2", "F64", "BOOL", "U64"])
def test_types_that_no_model_has(tmp_path: Path, model: bytes, dtype: str) -> None:
    size = {"BF16": 2, "F64": 8, "U64": 8}.get(dtype, 1)
    entries, body = taken_apart(model)
    entries["spare"] = {"dtype": dtype, "shape": [1], "data_offsets": [len(body), len(body) + size]}
    assert f"of type {dtype}" in refused(tmp_path / "model.safetensors", put_together(entries, body + bytes(size)))


def test_names_with_a_zero_byte_and_numbers_that_are_none(tmp_path: Path, model: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(model)
    metadata, arrays = model_file.load(path)
    named = model_file.to_bytes(metadata, arrays | {"aaa\0uint8\x001\0": np.zeros(1, np.uint8)})
    assert "zero byte" in refused(path, named)
    bias = "network.synthesis_out.bias"
    damaged = arrays[bias].copy()
    damaged[0] = np.nan
    assert "infinite or none" in refused(path, model_file.to_bytes(metadata, arrays | {bias: damaged}))


def test_all_numbers_of_half_precision_that_are_none_are_found() -> None:
    numbers = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    assert [model_file._is_finite(one) for one in numbers.reshape(-1, 1)] == np.isfinite(numbers).tolist()
    assert model_file._is_finite(numbers[:0])


def test_a_network_that_is_larger_than_its_weights_is_not_built(tmp_path: Path, model: bytes) -> None:
    """One of these widths would take 58 GB."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(model)
    metadata, arrays = model_file.load(path)
    metadata.network["widths"] = [40_000, 8, 8, 8]
    path.write_bytes(model_file.to_bytes(metadata, arrays))
    with pytest.raises(ModelError, match="its settings need"):
        Codec.open(path)


def test_info_checks_the_fingerprint(run: Run, packed: Path, tiny_model: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    data = bytearray(tiny_model.read_bytes())
    data[-3] ^= 1
    damaged.write_bytes(data)
    result = run("info", packed, "--model", damaged)
    assert (result.code, "the fingerprint does not match" in result.err) == (1, True)


def test_shipped_models_are_what_they_were() -> None:
    fingerprints = {path.stem: model_file.read_metadata(path).fingerprint for path in model_file.shipped()}
    for path in model_file.shipped():
        metadata, _ = model_file.load(path)
        model, _ = read_model(path.read_bytes())
        assert model.fingerprint.hex() == metadata.fingerprint == fingerprints[path.stem]
