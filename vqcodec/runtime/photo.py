"""The `photo` network at one quality as ONNX models: what networks/photo.py computes.

What depends on the quality alone is multiplied into the weights: gains, deviations and the modulation. ONNX lists the
places of a block before its channels, torch the channels before the places; weights are put in order for that.

The linear path works on blocks whose pixels are channels: a convolution of 1 x 1 there takes two thirds of the time of
one of 16 x 16 on pixels. What the branch sees of its picture at an eighth of the resolution is a convolution of the
latents; what it sees at a quarter lies on the way from blocks to pixels.

The synthesis has two halves. The coarse one, up to an eighth of the resolution, sees far and is small; the fine one
needs two latents around it and much memory for each, so a large picture goes through it in small tiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vqcodec.runtime.gradient import add_gradient
from vqcodec.runtime.graph import Graph
from vqcodec.runtime.linear import STRIDE, array_of, gain_of, linear_path
from vqcodec.transform import GRAY_LEVELS, Array

_MIDDLE = 50.0
_ANALYSIS_BLOCKS, _LOW_BLOCKS, _MID_BLOCKS, _FINE_BLOCKS = 2, 2, 2, 3


def photo_analysis(settings: Mapping[str, Any], weights: Mapping[str, Array], quality: float) -> bytes:
    """Return the ONNX model from pictures `x` float32 [1, 3, 16 h, 16 w] in 0..1 to latents [1, d, h, w].

    settings: of the network, as a model has them; weights: by name. ModelError where these do not fit those.
    """
    photo = _Photo(settings, weights, quality)
    return photo.graph.written({"x": 3}, (photo.analysis("x"),))


def photo_coarse(settings: Mapping[str, Any], weights: Mapping[str, Array], quality: float) -> bytes:
    """Return the ONNX model from latents `z` [1, d, h, w] to what `photo_fine` needs beside them, [1, width, 2 h, 2 w].

    Arguments and errors as in photo_analysis.
    """
    photo = _Photo(settings, weights, quality)
    return photo.graph.written({"z": photo.d}, (photo.coarse("z"),))


def photo_fine(settings: Mapping[str, Any], weights: Mapping[str, Array], quality: float) -> bytes:
    """Return the ONNX model from `z` and the `y` of photo_coarse to pictures, about 0..1; likewise."""
    photo = _Photo(settings, weights, quality)
    return photo.graph.written({"z": photo.d, "y": photo.up}, (photo.fine_half("z", "y"),))


def photo_error_slope(settings: Mapping[str, Any], weights: Mapping[str, Array], quality: float) -> bytes:
    """Return the ONNX model from `z` and `x` to the error of the picture, clamped, and a gradient [1, d, h, w].

    The gradient is that of half the sum of squares of the error; arguments and errors as in photo_analysis.
    """
    photo = _Photo(settings, weights, quality)
    graph, shown = photo.graph, photo.fine_half("z", photo.coarse("z"))
    # Clamped as a decoder does: what lies beyond black or white costs nothing and must not pull.
    clamped = graph.apply("Clip", shown, graph.constant(0.0), graph.constant(1.0))
    error = graph.apply("Sub", clamped, "x")
    is_inside = graph.apply("Cast", graph.apply("Equal", shown, clamped), to=1)
    gradient = add_gradient(graph, shown, graph.apply("Mul", error, is_inside), "z")
    return graph.written({"z": photo.d, "x": 3}, (error, gradient))


class _Photo:
    def __init__(self, settings: Mapping[str, Any], weights: Mapping[str, Array], quality: float) -> None:
        self.d = int(settings["d"])
        self.low, self.mid, self.up, self.fine = (int(width) for width in settings["widths"])
        self.weights, self.graph, self.quality = weights, Graph(), quality
        self.gain = gain_of(settings, weights, quality)
        self.path = linear_path(settings, weights, quality)

    def analysis(self, x: str) -> str:
        """Add the way from a picture to latents."""
        graph, d, low, mid, fine = self.graph, self.d, self.low, self.mid, self.fine
        modulate_mid, modulate_low = self._modulation("analysis", (mid, low))
        x = graph.apply("SpaceToDepth", graph.apply("Add", x, graph.constant(-0.5)), blocksize=4)
        basis = self._array("block_analysis", d, 3, STRIDE, STRIDE).reshape(d, -1)
        basis = _places_first(basis, (4, 4), 1) * (np.float32(GRAY_LEVELS) * self.gain)[:, None]
        blocks = graph.apply("SpaceToDepth", x, blocksize=4)
        linear = graph.apply("Conv", blocks, graph.constant(basis[:, :, None, None]))
        weight, bias = self._weight_and_bias("analysis_stem.1", 48, fine, 3)
        y = graph.conv(x, _places_first(weight, (4,), 1), bias)
        y = graph.apply("Relu", y)
        y = graph.conv(y, *_modulated(self._weight_and_bias("analysis_stem.3", fine, mid, 3), modulate_mid), stride=2)
        y = self._blocks(y, "analysis_mid", mid, _ANALYSIS_BLOCKS)
        y = graph.conv(y, *_modulated(self._weight_and_bias("analysis_down", mid, low, 3), modulate_low), stride=2)
        y = self._blocks(y, "analysis_low", low, _ANALYSIS_BLOCKS)
        steps = self.path.deviation, np.zeros(d, np.float32)
        y = graph.conv(y, *_modulated(self._weight_and_bias("analysis_out", low, d, 1), steps))
        return graph.apply("Add", linear, y)

    def coarse(self, z: str) -> str:
        """Add the way from latents to an eighth of the resolution."""
        graph, d, low, up = self.graph, self.d, self.low, self.up
        modulate_low, modulate_mid, _ = self._synthesis_modulation()
        weight, bias = self._weight_and_bias("synthesis_in", d, low, 3)
        weight = weight / self.path.deviation[:, None, None]
        y = graph.conv(z, *_modulated((weight, bias), modulate_low))
        y = self._blocks(y, "synthesis_low", low, _LOW_BLOCKS)
        above = graph.conv(y, *self._up("synthesis_up.0", low, modulate_mid[0]))
        y = graph.apply("Add", above, graph.conv(z, *self._mid_linear(modulate_mid)))
        y = graph.apply("DepthToSpace", y, blocksize=2)
        return self._blocks(y, "synthesis_mid", up, _MID_BLOCKS)

    def fine_half(self, z: str, y: str) -> str:
        """Add the way from latents and from what `coarse` returns to a picture."""
        graph, d, up, fine = self.graph, self.d, self.up, self.fine
        modulation = self._synthesis_modulation()[2]
        basis = _places_first(self.path.basis.reshape(d, -1), (4, 4), 1).T
        blocks = graph.apply("Conv", z, graph.constant(basis[:, :, None, None]))
        linear = graph.apply("DepthToSpace", blocks, blocksize=4)
        weight, bias = self._weight_and_bias("synthesis_fine_linear", 48, fine, 3)
        seen = graph.conv(linear, *_modulated((_places_first(weight, (4,), 1), bias), modulation))
        above = graph.conv(y, *self._up("synthesis_up_fine.0", up, modulation[0]))
        y = graph.apply("Add", graph.apply("DepthToSpace", above, blocksize=2), seen)
        y = self._blocks(y, "synthesis_fine", fine, _FINE_BLOCKS)
        weight, bias = (_places_first(part, (4,), 0) for part in self._weight_and_bias("synthesis_out", fine, 48, 3))
        y = graph.apply("Add", graph.conv(y, weight, bias + np.float32(0.5)), linear)
        return graph.apply("DepthToSpace", y, blocksize=4)

    def _array(self, name: str, *shape: int) -> Array:
        return array_of(self.weights, name, *shape)

    def _weight_and_bias(self, name: str, inputs: int, outputs: int, side: int) -> tuple[Array, Array]:
        return self._array(f"{name}.weight", outputs, inputs, side, side), self._array(f"{name}.bias", outputs)

    def _modulation(self, half: str, widths: tuple[int, ...]) -> list[tuple[Array, Array]]:
        """Return for each stage what its channels are multiplied by, and what is added to them."""
        name, total = f"{half}_modulation", 2 * sum(widths)
        hidden = self.weights.get(f"{name}.hidden.bias", np.zeros(0, np.float32)).size
        first = self._array(f"{name}.hidden.weight", hidden, 1)[:, 0] * np.float32(self.quality / _MIDDLE - 1)
        inner = np.tanh(first + self._array(f"{name}.hidden.bias", hidden))
        out = self._array(f"{name}.out.weight", total, hidden) @ inner + self._array(f"{name}.out.bias", total)
        pairs = [part.reshape(2, -1) for part in np.split(out, np.cumsum([2 * width for width in widths])[:-1])]
        return [(1 + scale, shift) for scale, shift in pairs]

    def _synthesis_modulation(self) -> list[tuple[Array, Array]]:
        return self._modulation("synthesis", (self.low, self.up, self.fine))

    def _up(self, name: str, inputs: int, scale: Array) -> tuple[Array, Array]:
        """Return the convolution whose channels become twice the resolution, multiplied by a scale of these."""
        four = np.repeat(scale, 4)
        weight_and_bias = self._weight_and_bias(name, inputs, len(four), 1)
        weight, bias = _modulated(weight_and_bias, (four, np.zeros_like(four)))
        return _places_first(weight, (2,), 0), _places_first(bias, (2,), 0)

    def _mid_linear(self, modulation: tuple[Array, Array]) -> tuple[Array, Array]:
        """Return the convolution from latents to what the branch sees of their linear path, in parts of 8 x 8 pixels.

        Its channels are those of `_up`.
        """
        weight_and_bias = self._weight_and_bias("synthesis_mid_linear", 192, self.up, 1)
        weight, bias = _modulated(weight_and_bias, modulation)
        parts = self.path.basis.reshape(self.d, 3, 2, 8, 2, 8).transpose(2, 4, 1, 3, 5, 0).reshape(2, 2, 192, self.d)
        seen = weight[:, :, 0, 0] @ parts
        return seen.reshape(-1, self.d, 1, 1), np.tile(bias, 4)

    def _blocks(self, y: str, name: str, width: int, count: int) -> str:
        for block in range(count):
            change = y
            for half in ("first", "second"):
                change = self.graph.apply("Relu", change)
                change = self.graph.conv(change, *self._weight_and_bias(f"{name}.{block}.{half}", width, width, 3))
            y = self.graph.apply("Add", y, change)
        return y


def _modulated(weight_and_bias: tuple[Array, Array], modulation: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return the convolution that multiplies its outputs by a scale, and adds a shift to them."""
    (weight, bias), (scale, shift) = weight_and_bias, modulation
    return weight * scale[:, None, None, None], bias * scale + shift


def _places_first(values: Array, blocks: tuple[int, ...], axis: int) -> Array:
    """Return weights whose channels along an axis are the pixels of blocks, in the order of ONNX.

    With several numbers these are blocks of blocks, the outermost first, as one shuffle after the other has them.
    """
    before, after, levels = values.shape[:axis], values.shape[axis + 1 :], len(blocks)
    parts = values.reshape(*before, -1, *blocks, *blocks, *after)
    places = [axis + 1 + level + half * levels for level in range(levels) for half in (0, 1)]
    behind = range(axis + 1 + 2 * levels, parts.ndim)
    return parts.transpose(*range(axis), *places, axis, *behind).reshape(values.shape)
