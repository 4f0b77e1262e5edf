"""The contract of all choices of indices: what a codec asks of them, whatever the prior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vqcodec.exact.priors import Prior
from vqcodec.exact.priors.tables import Choice

Latents = npt.NDArray[np.float32]


class Sought(NamedTuple):
    """A choice where all bits count alike, and what an encoder keeps of how it came about."""

    choice: Choice
    kept: Any = None


class Encoder(ABC):
    """Chooses indices under one prior, and knows what a choice costs and what a decoder has of it."""

    prior: Prior

    @abstractmethod
    def choose(self, z: Latents, quality: float, weight: float) -> Choice:
        """Return what is chosen for latents z float32 [d, h, w] at a quality of 1..100.

        `weight` is what a bit counts against a squared error of one step^2; 0 takes the nearest codevectors.
        An encoder may let those bits count less that say much of later ones.
        """

    def seek(self, z: Latents, quality: float, weight: float) -> Sought:
        """Return the same for a step of a search, which asks for `influence`: every bit counts as much."""
        return Sought(self.choose(z, quality, weight))

    @abstractmethod
    def latents(self, codes: npt.NDArray[Any]) -> Latents:
        """Return the latents float32 [d, h, w] that a decoder has of Choice.codes, or of a rectangle of them.

        Where a quantizer interpolates, what lies beyond the edge of a rectangle is missing from its outermost latents.
        """

    def influence(self, sought: Sought, z: Latents, quality: float, weight: float) -> Latents:
        """Return how many bits all others cost more for each step of latents z [d, h, w] that something was sought for.

        None of them where each is coded for itself; see influence.py.
        """
        return np.zeros_like(z)

    def bits(self, choice: Choice, quality: float) -> float:
        """Return what a choice costs: the bits of its classes and of its indices."""
        return sum(self.prior.bits(choice.indices, choice.classes, quality))
