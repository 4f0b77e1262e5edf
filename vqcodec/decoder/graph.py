"""A network as operators of ONNX, written down one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from vqcodec.decoder.linear import Array

_OPSET, _IR_VERSION = 17, 9
"""Of ONNX 1.12: ONNX Runtime of any age that pip still installs reads them."""


class Graph:
    """Operators so far; each method adds some and returns the name of what they give, float32 [1, C, H, W]."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def apply(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add one operator."""
        name = f"y{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, values: Array) -> str:
        """Add an array."""
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    def conv(self, x: str, weight: Array, bias: Array) -> str:
        """Add a convolution that keeps the grid, with a weight [O, C, k, k] and a bias [O]."""
        padding = [weight.shape[2] // 2] * 4
        return self.apply("Conv", x, self.constant(weight), self.constant(bias), pads=padding)

    def written(self, channels: int, result: str) -> bytes:
        """Return the network from `z` float32 [1, channels, h, w] to `result` as an ONNX model."""
        z = helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, channels, "h", "w"])
        x = helper.make_tensor_value_info(result, TensorProto.FLOAT, None)
        graph = helper.make_graph(self._nodes, "synthesis", [z], [x], self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
        model.ir_version = _IR_VERSION
        return bytes(model.SerializeToString())
