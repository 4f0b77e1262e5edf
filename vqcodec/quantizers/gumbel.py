"""Gumbel-softmax: the codebook learns through a relaxed sample instead of the straight-through choice.

Jang, Gu, Poole 2017: "Categorical Reparameterization with Gumbel-Softmax", equation 2; Maddison, Mnih, Teh 2017
have the same distribution. The logits are negative squared distances to the codevectors, as in Sonderby,
Poole, Mnih 2017: "Continuous Relaxation Training of Discrete Latent Variable Image Models", so that the
likeliest codevector is the nearest one, which a file stores.

The baseline of VQGAN and Dual Codebook (taming-transformers' GumbelQuantize) has logits of their own, a 1 x 1
convolution of the features, and hands on embeddings. With `logits` own the latents are these logits, one channel for
each codevector, and codevectors are the corners of the simplex, which learn nothing: the nearest corner is the largest
logit, and ||z - c||^2 / 2 is minus the logit but for what all corners share. The convolution is the network's last one,
and the embeddings are part of the first one of its synthesis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vqcodec.errors import SettingsError
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.quantizers.learning.posterior import Divergence
from vqcodec.quantizers.registry import register
from vqcodec.quantizers.soft import SoftQuantizer

# -||z - c||^2 / 2 = z_k - (||z||^2 + 1) / 2 for the corner c of channel k.
_CORNERS = 0.5


@dataclass(frozen=True)
class Options:
    """start, end: the temperature at the beginning and at the end of training.

    sharpness: what squared distances are multiplied by in the logits. weight: of the divergence from
    uniform in the loss. hard: whether training hands on whole codevectors, with the gradient of the mixture.
    logits: `distances` to codevectors that learn, or `own`, the latents themselves, whose sharpness is 1 / 2.
    """

    start: float = 1.0
    end: float = 0.0625
    sharpness: float = 1.0
    weight: float = 5e-4
    hard: bool = False
    logits: Literal["distances", "own"] = "distances"


@register(
    "gumbel", options=Options, match="l2",
    first={"quantizer_weight": 1.0, "options": {"sharpness": 0.5}},
    remedy="latents of unit variance (standardised = true in a recipe) or another -O sharpness",
)  # fmt: skip
class Gumbel(SoftQuantizer):
    """A codebook [K, d] that learns through Gumbel-softmax samples."""

    measure = Divergence()

    def __init__(self, settings: QuantizerSettings, options: Options = Options()) -> None:
        super().__init__(settings, options.start, options.end)
        for key, value, least in (("sharpness", options.sharpness, 1e-12), ("weight", options.weight, 0.0)):
            if not least <= value < float("inf"):
                above = "0 or more" if least == 0 else "a number above 0"
                raise SettingsError(f"option {key} of quantizer 'gumbel' is {value:g}; choose {above}")
        self.sharpness, self.weight, self.hard = options.sharpness, options.weight, options.hard
        self.has_own_logits = options.logits == "own"
        if self.has_own_logits:
            self._make_corners()

    def _make_corners(self) -> None:
        if self.d_star != self.K:
            raise SettingsError(
                f"logits=own of quantizer 'gumbel' are a channel for each codevector; d={self.d_star} is not "
                f"K={self.K}, choose them alike"
            )
        torch.nn.init.eye_(self.codebook)
        self.codebook.requires_grad_(False)
        self.sharpness = _CORNERS

    def begin(self, z: Tensor, generator: torch.Generator) -> None:
        """Draw codevectors from z, or leave the corners where they are."""
        if not self.has_own_logits:
            super().begin(z, generator)

    def cluster(self, z: Tensor) -> None:
        """Take a few rounds of Lloyd's algorithm, or leave the corners where they are."""
        if not self.has_own_logits:
            super().cluster(z)

    def precision(self) -> Tensor:
        """Return the sharpness."""
        return self.codebook.new_tensor(self.sharpness)

    def loss_of(self, measures: Tensor) -> Tensor:
        """Return weight * the posteriors' mean divergence from uniform in nats."""
        return self.weight * measures.mean()
