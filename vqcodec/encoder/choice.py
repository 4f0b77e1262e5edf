"""The contract of all choices of indices: what a codec asks of them, whatever the prior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy.typing as npt
from torch import Tensor

from vqcodec.exact.priors import Prior
from vqcodec.exact.priors.tables import Choice
from vqcodec.quantizers.base import Quantizer


class Encoder(ABC):
    """Chooses indices under one prior, and knows what a choice costs and what a decoder has of it."""

    def __init__(self, prior: Prior, quantizer: Quantizer | None = None) -> None:
        """`quantizer` is needed where the prior has no codebook of its own."""
        self.prior, self.quantizer = prior, quantizer

    @abstractmethod
    def choose(self, z: Tensor, quality: float, weight: float) -> Choice:
        """Return what is chosen for latents z float32 [1, d, h, w] at a quality of 1..100.

        `weight` is what a bit counts against a squared error of one step^2; 0 takes the nearest codevectors.
        """

    @abstractmethod
    def latents(self, codes: npt.NDArray[Any]) -> Tensor:
        """Return the latents float32 [1, d, h, w] that a decoder has of Choice.codes, or of a rectangle of them.

        Where a quantizer interpolates, what lies beyond the edge of a rectangle is missing from its outermost latents.
        """

    def bits(self, choice: Choice, quality: float) -> float:
        """Return what a choice costs: the bits of its classes and of its indices."""
        return sum(self.prior.bits(choice.indices, choice.classes, quality))
