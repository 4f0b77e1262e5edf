"""A network as operators of ONNX, written down one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from vqcodec.runtime import onnx_file
from vqcodec.runtime.onnx_file import Attribute, Operator
from vqcodec.transform import Array


class Graph:
    """Operators so far; each method adds some and returns the name of what they give, float32 [1, C, H, W]."""

    def __init__(self) -> None:
        self.operators: list[Operator] = []
        self.constants: dict[str, Array] = {}

    def apply(self, kind: str, *inputs: str, **attributes: Attribute) -> str:
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
        return onnx_file.written(self.operators, self.constants, inputs, outputs)
