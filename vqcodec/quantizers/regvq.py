"""Reg-VQ: VQ whose codevectors are to be chosen equally often, and some of whose choices are drawn.

Of Zhang, Zhan, Theobalt, Lu 2023, "Regularized Vector Quantization for Tokenized Image Synthesis": the prior, the
divergence of the mean posterior of a batch from the uniform distribution, and the stochastic mask, a random part of
all places where training hands on a Gumbel-softmax sample instead of the nearest codevector. Its probabilistic
contrastive loss is not built. A feature z belongs to codevector c with a probability proportional to
exp(-sharpness * ||z - c||^2); a file has the nearest codevectors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vqcodec import ranks
from vqcodec.errors import SettingsError
from vqcodec.quantizers.base import Learned, Quantized
from vqcodec.quantizers.layout import assignment
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.quantizers.learning.anchors import Features
from vqcodec.quantizers.learning.noise import StepNoise
from vqcodec.quantizers.learning.posterior import Sample, together
from vqcodec.quantizers.registry import register


@dataclass(frozen=True)
class Options:
    """prior: weight of the divergence from uniform; mask: share of the places, 0..1, whose codevector is drawn.

    sharpness: what squared distances are multiplied by in the logits; temperature: of the samples.
    """

    prior: float = 0.1
    mask: float = 0.3
    sharpness: float = 1.0
    temperature: float = 1.0


@register(
    "regvq", options=Options, match="l2",
    first={"options": {"sharpness": 0.5}},
    remedy="a larger -O prior, another -O sharpness, or latents of unit variance (standardised = true in a recipe)",
)  # fmt: skip
class RegVQ(Learned):
    """A codebook [K, d] that learns by gradient, by a prior over its codevectors, and by samples at random places."""

    def __init__(self, settings: QuantizerSettings, options: Options = Options()) -> None:
        super().__init__(settings)
        _check(options)
        self.prior, self.mask = options.prior, options.mask
        self.sharpness, self.temperature = options.sharpness, options.temperature
        self.noise = StepNoise()

    def forward(self, z: Tensor, indices: Tensor | None = None) -> Quantized:
        """Quantize z [B, d, h, w]; in training to samples at some places, unless `indices` say to what."""
        quantized = super().forward(z, indices)
        if not self.training:
            return quantized
        if indices is None:
            quantized = quantized._replace(z_q=self._partly_drawn(z, quantized.z_q))
        self.noise.advance()
        return quantized

    def loss(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return VQ's loss plus the weighted divergence of the mean posterior of at most 2^20 / K features."""
        features = Features(z, self.d_star).sample(max(1, assignment.BUDGET_VALUES // self.K))
        logits = -self.sharpness * _squared_distances(features, self.codebook)
        return super().loss(z, z_q) + self.prior * divergence_from_uniform(logits)

    def _partly_drawn(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return z_q [B, d, h, w] with samples, and their gradients, at random places."""
        seed = self.noise.seed()
        generator = torch.Generator(z.device).manual_seed(seed)
        drawn = ranks.noise_like(z[:, 0], generator) < self.mask
        if not drawn.any():
            return z_q
        sample = Sample(self.codebook.new_tensor(self.temperature), True, seed)
        precision = self.codebook.new_tensor(self.sharpness)
        (samples,) = together((sample,), z.movedim(1, -1)[drawn], self.codebook, precision)
        return z_q.movedim(1, -1).masked_scatter(drawn[..., None], samples).movedim(-1, 1)


def divergence_from_uniform(logits: Tensor) -> Tensor:
    """Return KL(p || uniform) in nats of p [K], the mean of the softmax of logits [N, K] over its rows."""
    mean = logits.log_softmax(1).logsumexp(0) - math.log(len(logits))
    return (mean.exp() * mean).sum() + math.log(logits.shape[1])


def _squared_distances(x: Tensor, codebook: Tensor) -> Tensor:
    """Return ||x - c||^2 [N, K] but for ||x||^2, which a softmax over the codevectors does not see."""
    return codebook.square().sum(1) - 2 * x @ codebook.t()


def _check(options: Options) -> None:
    if not 0 <= options.mask <= 1:
        raise SettingsError(f"option mask of quantizer 'regvq' is {options.mask:g}; choose 0 to 1")
    if not 0 <= options.prior < float("inf"):
        raise SettingsError(f"option prior of quantizer 'regvq' is {options.prior:g}; choose 0 or more")
    for key, value in (("sharpness", options.sharpness), ("temperature", options.temperature)):
        if not 0 < value < float("inf"):
            raise SettingsError(f"option {key} of quantizer 'regvq' is {value:g}; choose a number above 0")
