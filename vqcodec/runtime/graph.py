"""A network as operators of ONNX, written down one after the other."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from vqcodec.transform import Array

_OPSET, _IR_VERSION = 17, 9
"""Of ONNX 1.12: ONNX Runtime of any age that pip still installs reads them."""


class Operator(NamedTuple):
    """One operator: what it is, of what, and what it gives."""

    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]


class Graph:
    """Operators so far; each method adds some and returns the name of what they give, float32 [1, C, H, W]."""

    def __init__(self) -> None:
        self.operators: list[Operator] = []
        self.constants: dict[str, Array] = {}

    def apply(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add one operator."""
        output = f"y{len(self.operators)}"
        self.operators.append(Operator(kind, inputs, output, attributes))
        return output

    def constant(self, values: Any) -> str:
        """Add an array, or a number."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(values, np.float32).reshape(np.shape(values))
        return name

    def conv(self, x: str, weight: Array, bias: Array, stride: int = 1) -> str:
        """Add a convolution that keeps the grid (stride 1) or divides it, with a weight [O, C, k, k] and bias [O]."""
        padding = [weight.shape[2] // 2] * 4
        return self.apply("Conv", x, self.constant(weight), self.constant(bias), pads=padding, strides=[stride, stride])

    def written(self, inputs: dict[str, int], outputs: tuple[str, ...]) -> bytes:
        """Return the network from inputs float32 [1, channels, H, W], by name, to outputs as an ONNX model."""
        given = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, f"{name}_h", f"{name}_w"])
            for name, channels in inputs.items()
        ]
        found = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        nodes = [helper.make_node(o.kind, list(o.inputs), [o.output], **o.attributes) for o in self.operators]
        constants = [numpy_helper.from_array(values, name) for name, values in self.constants.items()]
        graph = helper.make_graph(nodes, "network", given, found, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
        model.ir_version = _IR_VERSION
        return bytes(model.SerializeToString())
