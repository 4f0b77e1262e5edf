"""Gumbel-softmax: the codebook learns through a relaxed sample instead of the straight-through choice.

Jang, Gu, Poole 2017: "Categorical Reparameterization with Gumbel-Softmax", equation 2; Maddison, Mnih, Teh 2017
have the same distribution. The logits are negative squared distances to the codevectors, as in Sonderby,
Poole, Mnih 2017: "Continuous Relaxation Training of Discrete Latent Variable Image Models", so that the
likeliest codevector is the nearest one, which a file stores.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vqcodec.errors import SettingsError
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.quantizers.learning.posterior import Divergence
from vqcodec.quantizers.registry import register
from vqcodec.quantizers.soft import SoftQuantizer


@dataclass(frozen=True)
class Options:
    """start, end: the temperature at the beginning and at the end of training.

    sharpness: what squared distances are multiplied by in the logits. weight: of the divergence from
    uniform in the loss. hard: whether training hands on whole codevectors, with the gradient of the mixture.
    """

    start: float = 1.0
    end: float = 0.0625
    sharpness: float = 1.0
    weight: float = 5e-4
    hard: bool = False


@register("gumbel", options=Options, match="l2")
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

    def precision(self) -> Tensor:
        """Return the sharpness."""
        return self.codebook.new_tensor(self.sharpness)

    def loss_of(self, measures: Tensor) -> Tensor:
        """Return weight * the posteriors' mean divergence from uniform in nats."""
        return self.weight * measures.mean()
