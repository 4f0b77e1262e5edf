"""HVQ-VAE: relaxed samples of posteriors, the divergence of these in the loss, and resets.

Williams et al. 2020: "Hierarchical Quantized Autoencoders", which call the method HQA; CVQ-VAE and LooC call it
HVQ-VAE and compare one layer of it, which this is. A feature z belongs to codevector c with a
probability proportional to exp(-||z - c||^2), training hands on a sample of Gumbel-softmax, and the loss is the
divergence of the posterior from uniform plus the squared distance that it expects. The sum of the two is minus the
logarithm of the mean of exp(-||z - c||^2), the free energy. The published code weighs 0.001 of it, summed over a
picture, against the squared error, summed likewise; temperatures fall along a line, and every 20 batches the codevector
of the least use, if that is below 0.03 of the greatest, goes beside the one of the greatest. `hvq` is the reset alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vqcodec import ranks
from vqcodec.errors import SettingsError
from vqcodec.quantizers.base import Quantized
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.quantizers.learning.posterior import FreeEnergy
from vqcodec.quantizers.learning.reset import move_beside
from vqcodec.quantizers.registry import register
from vqcodec.quantizers.soft import SoftQuantizer


@dataclass(frozen=True)
class Options:
    """start, end: the temperature of the samples at the beginning and at the end of training.

    weight: of the free energy of a latent position in the loss. interval: batches from one reset to the next; least:
    the share of the greatest usage below which the least used codevector moves; noise: the standard deviation of that.
    """

    start: float = 0.5
    end: float = 0.001
    weight: float = 1e-3
    interval: int = 20
    least: float = 0.03
    noise: float = 0.01


@register(
    "hqa", options=Options, match="l2",
    first={"quantizer_weight": 1.0},
    remedy="latents of unit variance (standardised = true in a recipe) or more resets (-O interval=2)",
)  # fmt: skip
class HQA(SoftQuantizer):
    """A codebook [K, d] that learns through relaxed samples, their free energy, and resets."""

    measure = FreeEnergy()
    counted: Tensor

    def __init__(self, settings: QuantizerSettings, options: Options = Options()) -> None:
        super().__init__(settings, options.start, options.end)
        _check(options)
        self.weight, self.interval = options.weight, options.interval
        self.least, self.deviation = options.least, options.noise
        self.register_buffer("counted", torch.zeros(self.K))

    def advance(self, fraction: float) -> None:
        """Lower the temperature along a line from `start` at 0 to `end` at 1."""
        self.temperature.fill_(self.start + (self.end - self.start) * fraction)

    def forward(self, z: Tensor, indices: Tensor | None = None) -> Quantized:
        """Quantize z [B, d, h, w]; in training the first batch after each interval finds a codevector moved."""
        if not self.training:
            return super().forward(z, indices)
        # Before the batch and not after it: until its gradients are computed the codebook must stay as it is.
        if int(self.noise.step) and int(self.noise.step) % self.interval == 0:
            self._reset()
        quantized = super().forward(z, indices)
        self.counted += self.usage_of(ranks.whole(quantized.indices))
        return quantized

    def precision(self) -> Tensor:
        """Return 1."""
        return self.codebook.new_ones(())

    def loss_of(self, measures: Tensor) -> Tensor:
        """Return weight * the mean free energy in nats of a latent position."""
        return self.weight * measures.mean()

    @torch.no_grad()
    def _reset(self) -> None:
        least = self.counted.argmin()
        if float(self.counted[least]) < self.least * float(self.counted.max()):
            generator = torch.Generator(self.codebook.device).manual_seed(self.noise.seed())
            move_beside(self.codebook, least[None], int(self.counted.argmax()), self.deviation, generator)
        self.counted.zero_()


def _check(options: Options) -> None:
    if options.interval < 1:
        raise SettingsError(f"option interval of quantizer 'hqa' is {options.interval}; choose 1 or more")
    if not 0 <= options.least <= 1:
        raise SettingsError(f"option least of quantizer 'hqa' is {options.least:g}; choose 0 to 1")
    for key, value in (("weight", options.weight), ("noise", options.noise)):
        if not 0 < value < float("inf"):
            raise SettingsError(f"option {key} of quantizer 'hqa' is {value:g}; choose a number above 0")
