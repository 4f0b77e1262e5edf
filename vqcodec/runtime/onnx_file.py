"""A network in the bytes of the ONNX format, which are protocol buffers.

The package onnx writes the same, but takes as long to import as a small picture to decode, and copies all weights
several times. Fields have the numbers of onnx.proto; https://protobuf.dev/programming-guides/encoding says how they
are laid out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from vqcodec.exact.bitstream.header import varint
from vqcodec.transform import Array

_OPSET, _IR_VERSION = 17, 9
"""Of ONNX 1.12: ONNX Runtime of any age that pip still installs reads them."""
_NUMBER, _BYTES = 0, 2
"""How a field is laid out."""
_FLOAT32 = 1
"""TensorProto.FLOAT."""
_INT, _INTS = 2, 7
"""AttributeProto.INT and INTS."""

Attribute = int | Sequence[int]


class Operator(NamedTuple):
    """One operator: what it is, of what, and what it gives."""

    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Attribute]


def written(
    operators: Iterable[Operator], constants: Mapping[str, Array], inputs: Mapping[str, int], outputs: Iterable[str]
) -> bytes:
    """Return the ModelProto of operators in order, on constants and inputs float32 [1, channels, H, W], by name."""
    graph: list[bytes | memoryview] = [_field(1, _node(operator)) for operator in operators]
    graph.append(_field(2, b"network"))
    graph += chain.from_iterable(_initializer(name, values) for name, values in constants.items())
    graph += (_field(11, _value(name, (1, channels, f"{name}_h", f"{name}_w"))) for name, channels in inputs.items())
    graph += (_field(12, _value(name)) for name in outputs)
    opset = _field(1, b"") + _number(2, _OPSET)
    length = sum(map(len, graph))
    # Joined once, since weights are megabytes.
    return b"".join((_number(1, _IR_VERSION), _field(8, opset), _header(7, length), *graph))


def _node(operator: Operator) -> bytes:
    """Return a NodeProto."""
    parts = [_field(1, name.encode()) for name in operator.inputs]
    parts += (_field(2, operator.output.encode()), _field(4, operator.kind.encode()))
    parts += (_field(5, _attribute(name, value)) for name, value in operator.attributes.items())
    return b"".join(parts)


def _attribute(name: str, value: Attribute) -> bytes:
    """Return an AttributeProto."""
    if isinstance(value, int):
        said, kind = _number(3, value), _INT
    else:
        said, kind = b"".join(_number(8, each) for each in value), _INTS
    return _field(1, name.encode()) + said + _number(20, kind)


def _initializer(name: str, values: Array) -> Iterator[bytes | memoryview]:
    """Yield the parts of the field that holds a TensorProto; the weights are not copied."""
    shape = b"".join(_number(1, side) for side in values.shape)
    data = values.astype("<f4", copy=False).data.cast("B")
    head = shape + _number(2, _FLOAT32) + _field(8, name.encode()) + _header(9, len(data))
    yield _header(5, len(head) + len(data)) + head
    yield data


def _value(name: str, shape: tuple[int | str, ...] = ()) -> bytes:
    """Return the ValueInfoProto of float32 values; a name in the shape stands for any size, no shape for any."""
    kind = _number(1, _FLOAT32)
    if shape:
        sides = (_number(1, side) if isinstance(side, int) else _field(2, side.encode()) for side in shape)
        kind += _field(2, b"".join(_field(1, side) for side in sides))
    return _field(1, name.encode()) + _field(2, _field(1, kind))


def _field(number: int, data: bytes) -> bytes:
    return _header(number, len(data)) + data


def _header(number: int, length: int) -> bytes:
    return varint(number << 3 | _BYTES) + varint(length)


def _number(number: int, value: int) -> bytes:
    return varint(number << 3 | _NUMBER) + varint(value)
