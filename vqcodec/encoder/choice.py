"""The contract of all choices of indices: what a codec asks of them, whatever the prior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from vqcodec.exact.priors import Prior
from vqcodec.exact.priors.tables import Choice

Latents = npt.NDArray[np.float32]


class Encoder(ABC):
    """Chooses indices under one prior, and knows what a choice costs and what a decoder has of it."""

    prior: Prior

    @abstractmethod
    def choose(self, z: Latents, quality: float, weight: float, alike: bool = False) -> Choice:
        """Return what is chosen for latents z float32 [d, h, w] at a quality of 1..100.

        `weight` is what a bit counts against a squared error of one step^2; 0 takes the nearest codevectors.
        With `alike` all bits count that much; else an encoder may let those count less that say much of later ones.
        """

    @abstractmethod
    def latents(self, codes: npt.NDArray[Any]) -> Latents:
        """Return the latents float32 [d, h, w] that a decoder has of Choice.codes, or of a rectangle of them.

        Where a quantizer interpolates, what lies beyond the edge of a rectangle is missing from its outermost latents.
        """

    def influence(self, choice: Choice, z: Latents, quality: float, weight: float) -> Latents:
        """Return how many bits all others cost more for each step of latents z [d, h, w] that a choice was made for.

        None of them where each is coded for itself; see influence.py.
        """
        return np.zeros_like(z)

    def bits(self, choice: Choice, quality: float) -> float:
        """Return what a choice costs: the bits of its classes and of its indices."""
        return sum(self.prior.bits(choice.indices, choice.classes, quality))
