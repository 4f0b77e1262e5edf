"""Codebook reset: codevectors that nothing chose for a while start again next to the most used one.

Of Williams et al. 2020, "Hierarchical Quantized Autoencoders" (HVQ-VAE), this is the reset alone, on VQ; `hqa` is the
method with its relaxed samples and their divergence. The name `hvq` stays since models and recipes have it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vqcodec.errors import SettingsError
from vqcodec.quantizers.base import Learned
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.quantizers.learning.noise import StepNoise
from vqcodec.quantizers.learning.reset import move_beside
from vqcodec.quantizers.registry import register


@dataclass(frozen=True)
class Options:
    """interval: batches from one reset to the next; noise: standard deviation of what sets the new ones apart."""

    interval: int = 20
    noise: float = 0.01


@register("hvq", options=Options, remedy="more resets (-O interval=5), further apart (-O noise=0.1)")
class HVQ(Learned):
    """A codebook [K, d] that learns by gradient and by resets."""

    counted: Tensor

    def __init__(self, settings: QuantizerSettings, options: Options = Options()) -> None:
        super().__init__(settings)
        if options.interval < 1:
            raise SettingsError(f"option interval of quantizer 'hvq' is {options.interval}; choose 1 or more")
        if not 0 < options.noise < float("inf"):
            raise SettingsError(f"option noise of quantizer 'hvq' is {options.noise:g}; choose a number above 0")
        self.interval, self.deviation = options.interval, options.noise
        self.noise = StepNoise()
        self.register_buffer("counted", torch.zeros(self.K))

    def update(self, z: Tensor, indices: Tensor, usage: Tensor) -> None:
        """Add up usage; after each interval move what was not used."""
        self.counted += usage
        seed = self.noise.seed()
        self.noise.advance()
        if int(self.noise.step) % self.interval == 0:
            unused, generator = torch.nonzero(self.counted == 0).flatten(), torch.Generator(z.device).manual_seed(seed)
            move_beside(self.codebook, unused, int(self.counted.argmax()), self.deviation, generator)
            self.counted.zero_()
