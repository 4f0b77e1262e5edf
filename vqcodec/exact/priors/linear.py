"""Linear prediction from a group's own known neighbors, at full precision.

The networks of a context prior see latents in sixteenths of their deviation, which for the means of
the colors is several steps: they cannot say that a place is just like its neighbors. A matrix of
fixed-point weights can. It predicts from the latents themselves, in sixteenths of a step; and how far the
neighbors lie from that prediction, their roughness, tells the networks how sure it is.

bitstream/FORMAT.md, "Context prior", is the law.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vqcodec.errors import ModelError
from vqcodec.exact.priors.integer_net import ACTIVATION_MAX

WEIGHT_BITS = 12
"""A weight of 2^12 stands for 1."""
MOST_CHANNELS = 1024
"""Of a group with linear predictions.

A latent is below 2^24 in sixteenths (a mean of 16 bits and 256 codevectors of 16 bits), a weight at most 2^15, and
at most 12 neighbors are seen: with 1024 channels every sum stays below the 2^53 that float64 holds exactly.
"""
Integers = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Linear:
    """The weights of one phase, float64 [offsets * n, n]; they are whole numbers."""

    weight: npt.NDArray[np.float64]

    @classmethod
    def make(cls, name: str, weight: npt.NDArray[np.integer]) -> Linear:
        """Check the type; ModelError where it does not fit."""
        if weight.dtype != np.int16:
            raise ModelError(f"the model's {name} has the type {weight.dtype} instead of int16")
        return cls(weight.astype(np.float64))

    def predict(self, latents: Integers, known: npt.NDArray[np.bool_]) -> tuple[Integers, FloatArray]:
        """Return the prediction int64 [N, n] in sixteenths of a step, and the roughness 0..127 [N, n].

        latents: int64 [N, offsets, n] of the neighbors in sixteenths; known: [N, offsets], whether they lie in
        the grid; of each place at least one does. Where one does not, the mean of the others stands for it.
        """
        here = known[:, :, None]
        count = here.sum(1)
        # The mean of what is there is a better guess for what is not than zero. Rounded half up, in integers.
        mean = (2 * np.where(here, latents, 0).sum(1) + count) // (2 * count)
        filled = np.where(here, latents, mean[:, None])
        sums = (filled.reshape(len(filled), -1).astype(np.float64) @ self.weight).astype(np.int64)
        predicted: Integers = (sums + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS
        # Their mean distance and not its square: a root would not be exact.
        distance = np.where(here, np.abs(latents - predicted[:, None]), 0).sum(1)
        roughness = np.minimum((2 * distance + count) // (2 * count), ACTIVATION_MAX)
        return predicted, roughness.astype(np.float32)
