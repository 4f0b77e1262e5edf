"""The gradient of a network that is written in ONNX: its operators once more, backwards."""

from __future__ import annotations

import numpy as np

from vqcodec.runtime.graph import Graph
from vqcodec.runtime.onnx_file import Operator


def add_gradient(graph: Graph, output: str, slope: str, wanted: str) -> str:
    """Add what a sum has for a gradient to `wanted` whose gradient to `output` is `slope`; return its name.

    Between the two lie only operators that are known here. Inputs of Relu are no outputs of what is returned.
    """
    found = {output: slope}
    for operator in reversed(graph.operators.copy()):
        if operator.output not in found:
            continue
        given = found.pop(operator.output)
        for name, part in _parts(graph, operator, given).items():
            found[name] = graph.apply("Add", found[name], part) if name in found else part
    return found[wanted]


def _parts(graph: Graph, operator: Operator, slope: str) -> dict[str, str]:
    """Return the gradient to each input of an operator that is no constant."""
    x = operator.inputs[0]
    if operator.kind == "Add":
        return {name: slope for name in operator.inputs if name not in graph.constants}
    if operator.kind == "Relu":
        # Of what is nowhere below zero the sign is 1 where the slope goes on, and 0 where it ends.
        return {x: graph.apply("Mul", slope, graph.apply("Sign", operator.output))}
    if operator.kind == "Conv":
        return {x: _through_conv(graph, operator, slope)}
    back = {"DepthToSpace": "SpaceToDepth", "SpaceToDepth": "DepthToSpace"}[operator.kind]
    return {x: graph.apply(back, slope, **operator.attributes)}


def _through_conv(graph: Graph, operator: Operator, slope: str) -> str:
    """Add the gradient of a convolution of stride 1 to its input: the turned kernels, outputs for inputs."""
    weight = graph.constants[operator.inputs[1]].transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    return graph.conv(slope, weight, np.zeros(len(weight), np.float32))
