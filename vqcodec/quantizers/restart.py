"""Random restarts: codevectors that are rarely chosen become features of the batch, whole and at once.

Dhariwal et al. 2020: "Jukebox: A Generative Model for Music", section 3.1, as in its published code: codevectors are
moving averages, and in every batch each one whose running count is below the threshold is replaced by a feature drawn
at random. CVQ-VAE's paper calls that "hard encoded features" (table 4d).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vqcodec.errors import SettingsError
from vqcodec.quantizers.averaged import Averaged, Learn
from vqcodec.quantizers.base import draw
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.quantizers.learning.averages import DECAY
from vqcodec.quantizers.learning.noise import StepNoise
from vqcodec.quantizers.registry import register


@dataclass(frozen=True)
class Options:
    """threshold: how many features of a batch must choose a codevector, in the running mean, so that it stays.

    learn: what moves the others, the gradient of the loss or, as published, moving averages of their features (`ema`).
    """

    threshold: float = 1.0
    learn: Learn = "loss"


@register(
    "restart", options=Options,
    first={"options": {"threshold": 0.01, "learn": "ema"}},
    remedy="-O threshold=0.1 or a smaller -K",
)  # fmt: skip
class Restart(Averaged):
    """A codebook [K, d] whose rarely chosen codevectors start again at features of the batch."""

    counts: Tensor

    def __init__(self, settings: QuantizerSettings, options: Options = Options()) -> None:
        super().__init__(settings, options.learn)
        if not 0 < options.threshold < float("inf"):
            raise SettingsError(
                f"option threshold of quantizer 'restart' is {options.threshold:g}; choose a number above 0"
            )
        self.threshold = options.threshold
        self.noise = StepNoise()
        # As many as the published threshold, so that a new codebook has time to be chosen.
        self.register_buffer("counts", torch.ones(self.K))

    @torch.no_grad()
    def update(self, z: Tensor, indices: Tensor, usage: Tensor) -> None:
        """Move codevectors, then replace those that too few features have chosen."""
        super().update(z, indices, usage)
        self.counts.mul_(DECAY).add_(usage * indices.numel(), alpha=1 - DECAY)
        generator = torch.Generator().manual_seed(self.noise.seed())
        self.noise.advance()
        rare = torch.nonzero(self.counts < self.threshold).flatten()
        if len(rare):
            self.codebook[rare] = draw(z, len(rare), generator)
