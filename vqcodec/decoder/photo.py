"""The synthesis of the `photo` network at one quality as an ONNX model: what networks/photo.py computes.

What depends on the quality alone is multiplied into the weights: gains, deviations and the modulation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vqcodec.decoder.graph import Graph
from vqcodec.decoder.linear import STRIDE, Array, array_of, linear_path

_MIDDLE = 50.0
_LOW_BLOCKS, _MID_BLOCKS, _FINE_BLOCKS = 2, 2, 3


def photo_synthesis(settings: Mapping[str, Any], weights: Mapping[str, Array], quality: float) -> bytes:
    """Return the ONNX model from `z` float32 [1, d, h, w] to pictures float32 [1, 3, 16 h, 16 w], about 0..1.

    settings: of the network, as a model has them; weights: by name. ModelError where these do not fit those.
    """
    return _Photo(settings, weights, quality).written()


class _Photo:
    def __init__(self, settings: Mapping[str, Any], weights: Mapping[str, Array], quality: float) -> None:
        self.d = int(settings["d"])
        self.low, _, self.up, self.fine = (int(width) for width in settings["widths"])
        self.weights, self.graph = weights, Graph()
        self.path = linear_path(settings, weights, quality)
        self.scales, self.shifts = self._modulation(quality)

    def written(self) -> bytes:
        """Return the network as an ONNX model."""
        graph, d, low, up, fine = self.graph, self.d, self.low, self.up, self.fine
        linear = graph.apply("ConvTranspose", "z", graph.constant(self.path.basis), strides=[STRIDE, STRIDE])
        y = self._conv("z", "synthesis_in", d, low, 3, 0, np.reciprocal(self.path.deviation))
        y = self._blocks(y, "synthesis_low", low, _LOW_BLOCKS)
        y = self._joined(y, linear, ("synthesis_up.0", low), ("synthesis_mid_linear", 8, 1), up, 1)
        y = self._blocks(y, "synthesis_mid", up, _MID_BLOCKS)
        y = self._joined(y, linear, ("synthesis_up_fine.0", up), ("synthesis_fine_linear", 4, 3), fine, 2)
        y = self._blocks(y, "synthesis_fine", fine, _FINE_BLOCKS)
        y = self._shuffled(graph.conv(y, *self._weight_and_bias("synthesis_out", fine, 48, 3)), 4)
        y = graph.apply("Add", graph.apply("Add", y, linear), graph.constant(np.array(0.5, np.float32)))
        return graph.written(d, y)

    def _array(self, name: str, *shape: int) -> Array:
        return array_of(self.weights, name, *shape)

    def _weight_and_bias(self, name: str, inputs: int, outputs: int, side: int) -> tuple[Array, Array]:
        return self._array(f"{name}.weight", outputs, inputs, side, side), self._array(f"{name}.bias", outputs)

    def _modulation(self, quality: float) -> tuple[list[Array], list[Array]]:
        """Return what each of three stages is multiplied by, and what is added to it."""
        widths = (self.low, self.up, self.fine)
        name, total = "synthesis_modulation", 2 * sum(widths)
        hidden = self.weights.get(f"{name}.hidden.bias", np.zeros(0, np.float32)).size
        first = self._array(f"{name}.hidden.weight", hidden, 1)[:, 0] * np.float32(quality / _MIDDLE - 1)
        inner = np.tanh(first + self._array(f"{name}.hidden.bias", hidden))
        out = self._array(f"{name}.out.weight", total, hidden) @ inner + self._array(f"{name}.out.bias", total)
        pairs = [part.reshape(2, -1) for part in np.split(out, np.cumsum([2 * width for width in widths])[:-1])]
        return [1 + scale for scale, _ in pairs], [shift for _, shift in pairs]

    def _conv(self, x: str, name: str, inputs: int, outputs: int, side: int, stage: int, factors: Array) -> str:
        """Add a convolution of inputs that are `factors` [inputs] as large, and the modulation behind it."""
        weight, bias = self._weight_and_bias(name, inputs, outputs, side)
        scale, shift = self.scales[stage], self.shifts[stage]
        weight = weight * factors[None, :, None, None] * scale[:, None, None, None]
        return self.graph.conv(x, weight, bias * scale + shift)

    def _joined(
        self, y: str, linear: str, up: tuple[str, int], beside: tuple[str, int, int], width: int, stage: int
    ) -> str:
        """Add the step to twice the resolution: what comes up, and the linear path's picture, modulated."""
        scale, shift = self.scales[stage], self.shifts[stage]
        (name, inputs), (linear_name, block, side) = up, beside
        weight, bias = self._weight_and_bias(name, inputs, 4 * width, 1)
        four = np.repeat(scale, 4)
        above = self._shuffled(self.graph.conv(y, weight * four[:, None, None, None], bias * four), 2)
        weight, bias = self._weight_and_bias(linear_name, 3 * block * block, width, side)
        # ONNX lists the places of a block before its colors, torch the colors before the places.
        weight = weight.reshape(width, 3, block * block, side, side).transpose(0, 2, 1, 3, 4).reshape(weight.shape)
        picture = self.graph.apply("SpaceToDepth", linear, blocksize=block)
        seen = self.graph.conv(picture, weight * scale[:, None, None, None], bias * scale + shift)
        return self.graph.apply("Add", above, seen)

    def _blocks(self, y: str, name: str, width: int, count: int) -> str:
        for block in range(count):
            change = y
            for half in ("first", "second"):
                change = self.graph.apply("Relu", change)
                change = self.graph.conv(change, *self._weight_and_bias(f"{name}.{block}.{half}", width, width, 3))
            y = self.graph.apply("Add", y, change)
        return y

    def _shuffled(self, y: str, block: int) -> str:
        return self.graph.apply("DepthToSpace", y, blocksize=block, mode="CRD")
