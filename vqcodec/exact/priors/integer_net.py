"""Small networks in integer arithmetic that comes out the same on every machine.

Weights are int8, activations 0..127, inputs -127..127. For every output the bound
127 * sum |w| + |b| is computed from the weights and may not exceed 2^22: then every partial sum,
in whatever order it is added up, is a whole number that float32 holds exactly, and a
matrix product in float32, the fastest that every machine has, is an integer product. A sum is
brought back to an activation by a shift, rounding half up.

bitstream/FORMAT.md, "Context prior", is the law.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from vqcodec.errors import ModelError

FRACTION_BITS = 4
FRACTION = 1 << FRACTION_BITS
"""An activation of 16 stands for 1."""
SIXTEENTHS = 16
"""Latents are counted in sixteenths of a quantizer step."""
# Inputs, which have a sign, and activations, which have none, both fit int8, as weights do.
ACTIVATION_MAX = 127
WEIGHT_MAX = 127
SHIFT_MAX = 14
# Half of 2^23, below which float32 also holds the halves that rounding adds.
BOUND = 1 << 22
MEAN_LIMIT = 1 << 15

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.integer]
BoolArray = npt.NDArray[np.bool_]
N = TypeVar("N", bound=np.number)


@dataclass(frozen=True)
class Dense:
    """Sums a = inputs @ weights + bias for one or more matrices that share bias and shifts.

    weights: int8 [inputs, outputs] each; bias: int32 [..., outputs]; shift: uint8 [outputs].
    The matrices are kept as float32 and hold whole numbers.
    """

    weights: tuple[FloatArray, ...]
    bias: FloatArray
    shift: npt.NDArray[np.int64]
    bound: int

    @classmethod
    def make(cls, name: str, weights: tuple[IntArray, ...], bias: IntArray, shift: IntArray) -> Dense:
        """Check ranges and shapes and compute the bound; ModelError where something does not fit."""
        outputs = len(shift)
        for weight in weights:
            if weight.dtype != np.int8 or weight.ndim != 2 or weight.shape[1] != outputs or (weight == -128).any():
                raise ModelError(f"the model's {name} has a weight of the wrong type, shape or range")
        if bias.dtype != np.int32 or bias.shape[-1] != outputs or shift.dtype != np.uint8 or shift.max() > SHIFT_MAX:
            raise ModelError(f"the model's {name} has a bias or shift of the wrong type, shape or range")
        largest = np.abs(bias.astype(np.int64)).reshape(-1, outputs).max(0)
        total = sum((np.abs(weight).sum(0, dtype=np.int64) for weight in weights), np.zeros(outputs, np.int64))
        bound = int((ACTIVATION_MAX * total + largest).max())
        if bound > BOUND:
            raise ModelError(f"the model's {name} could sum up to {bound}, beyond the {BOUND} that are exact")
        exact = tuple(np.ascontiguousarray(weight, dtype=np.float32) for weight in weights)
        return cls(exact, bias.astype(np.float32), shift.astype(np.int64), bound)

    def sums(self, inputs: tuple[FloatArray, ...], bias: FloatArray) -> FloatArray:
        """Return the sums float32 [N, outputs] of inputs [N, ...], one for each matrix, and a row of the bias."""
        products = (x @ weight for x, weight in zip(inputs, self.weights, strict=True))
        total: FloatArray = next(products, np.zeros((1, len(self.shift)), np.float32))
        for product in products:
            total += product
        total += bias
        return total

    def activate(self, sums: FloatArray, follows: BoolArray | None = None) -> FloatArray:
        """Return activations 0..127 for sums [N, outputs].

        follows: where it is to be written which of them change with their sums, bool [N, outputs]: those within range.
        """
        # Scaling by a power of two and adding a half are exact below 2^23.
        scaled: FloatArray = sums * np.exp2(-self.shift).astype(np.float32)
        scaled += np.float32(0.5)
        np.floor(scaled, out=scaled)
        if follows is not None:
            np.logical_and(scaled >= 0, scaled <= ACTIVATION_MAX, out=follows)
        return _within(scaled, 0, ACTIVATION_MAX)


def normalize(latents: IntArray, spread: IntArray) -> FloatArray:
    """Return network inputs -127..127 for latents [..., n] in sixteenths and their spreads [n]."""
    # Half up: 2 FRACTION y + spread over 2 spread is FRACTION y / spread + 1 / 2, rounded down. Both are whole numbers
    # below 2^33, so what lies below a whole number does by a part in 2^34 at least, and float64, which divides in a
    # fifth of the time, does not round it up to that.
    x = (2.0 * FRACTION * latents + spread) / (2.0 * spread)
    np.floor(x, out=x)
    return _within(x, -ACTIVATION_MAX, ACTIVATION_MAX).astype(np.float32)


def to_mean(sums: FloatArray, shift: IntArray, spread: IntArray, linear: IntArray | int) -> npt.NDArray[np.int32]:
    """Return means in sixteenths of a step for output sums [N, n], the channels' spreads [n] and linear predictions."""
    scaled = sums.astype(np.int64)
    scaled *= spread
    scaled += 1 << (shift + FRACTION_BITS - 1)
    scaled >>= shift + FRACTION_BITS
    scaled += linear
    return _within(scaled, -MEAN_LIMIT, MEAN_LIMIT - 1).astype(np.int32)


def to_deviation_class(sums: FloatArray, shift: IntArray, count: int) -> npt.NDArray[np.uint8]:
    """Return deviation classes 0..count - 1 for output sums [N, n]."""
    shift = shift.astype(np.int32) + FRACTION_BITS
    scaled = sums.astype(np.int32)  # below 2^22 in magnitude, and so is what is added
    scaled += 1 << (shift - 1)
    scaled >>= shift
    return _within(scaled, 0, count - 1).astype(np.uint8)


def _within(x: npt.NDArray[N], low: int, high: int) -> npt.NDArray[N]:
    """Return an array, which is changed, between two numbers; np.clip takes twice as long for so small ones."""
    np.maximum(x, low, out=x)
    np.minimum(x, high, out=x)
    return x
