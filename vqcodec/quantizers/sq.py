"""SQ-VAE: stochastic quantization whose noise is learned and falls by itself as training goes on.

Takida et al. 2022: "SQ-VAE: Variational Bayes on Discrete Representation with Self-annealed Stochastic
Quantization", the Gaussian SQ-VAE (I), with one variance for all latents. A feature z belongs to codevector c
with a probability proportional to exp(-||z - c||^2 / (2 sigma^2)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vqcodec.errors import SettingsError
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.quantizers.learning.posterior import FreeEnergy
from vqcodec.quantizers.registry import register
from vqcodec.quantizers.soft import SoftQuantizer


@dataclass(frozen=True)
class Options:
    """start, end: the temperature of the samples at the beginning and at the end of training.

    variance: sigma^2 before training. pace: how many times as fast as the learning rate the logarithm of sigma^2
    moves, for trainings that are shorter than the published ones.
    """

    start: float = 1.0
    end: float = 0.1
    variance: float = 1.0
    pace: float = 1.0


@register(
    "sq", options=Options, match="l2",
    first={"quantizer_weight": 1.0, "options": {"variance": 0.5, "pace": 10.0}},
    remedy="latents of unit variance (standardised = true in a recipe), or another -O variance to begin with",
)  # fmt: skip
class SQ(SoftQuantizer):
    """A codebook [K, d] and the logarithm of sigma^2, here divided by its pace, which learn together.

    The reconstruction's side of the loss belongs to whoever trains (`likelihood`):
    D / 2 * log(mean squared error) for a picture of D values, with the decoder's own variance at its optimum.
    For the loss per picture `loss` then has the weight n, the number of values in a picture's latent.
    """

    likelihood = True
    measure = FreeEnergy()

    def __init__(self, settings: QuantizerSettings, options: Options = Options()) -> None:
        super().__init__(settings, options.start, options.end)
        for name, value in (("variance", options.variance), ("pace", options.pace)):
            if not 0 < value < math.inf:
                raise SettingsError(f"option {name} of quantizer 'sq' is {value:g}; choose a number above 0")
        self.pace = options.pace
        # Divided by its pace here and multiplied again in precision(): Adam's steps have one length, so only the
        # parameter's own scale can make it move faster than the others.
        self.log_variance = nn.Parameter(torch.tensor(math.log(options.variance) / self.pace))

    def precision(self) -> Tensor:
        """Return 1 / (2 sigma^2)."""
        return 0.5 * torch.exp(-self.pace * self.log_variance)

    def loss_of(self, measures: Tensor) -> Tensor:
        """Return ||z - c||^2 / (2 sigma^2) as the posteriors expect it, less their entropy, plus log K.

        In nats per value of z, as VQ's loss is a mean over values. The expectation is exact; nothing is sampled.
        """
        return measures.mean() / self.d_star
