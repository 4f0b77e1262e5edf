"""VQ-WAE: the codebook learns by optimal transport, which wants every codevector for an equal share of the features.

Of Vuong et al. 2023, "Vector Quantized Wasserstein Auto-Encoder": the Wasserstein distance between a batch's features
and the codevectors takes the place of codebook and commitment loss. The paper has exact transport for each latent
position, and weights of the codevectors that learn, drawn to the uniform ones; here the transport is Sinkhorn's over
all positions together, and all codevectors weigh the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vqcodec.errors import SettingsError
from vqcodec.quantizers.base import Learned
from vqcodec.quantizers.layout import assignment
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.quantizers.learning.anchors import Features
from vqcodec.quantizers.learning.transport import wasserstein
from vqcodec.quantizers.registry import register


@dataclass(frozen=True)
class Options:
    """weight: of the Wasserstein distance in the loss; epsilon: of the plan's entropy, as a share of the mean error.

    rounds: of Sinkhorn's algorithm in a step.
    """

    weight: float = 1.0
    epsilon: float = 0.1
    rounds: int = 20


@register("vqwae", options=Options, match="l2", remedy="a smaller -K, or a larger -O weight")
class VQWAE(Learned):
    """A codebook [K, d] that learns by the Wasserstein distance from the features."""

    def __init__(self, settings: QuantizerSettings, options: Options = Options()) -> None:
        super().__init__(settings)
        if options.rounds < 1:
            raise SettingsError(f"option rounds of quantizer 'vqwae' is {options.rounds}; choose 1 or more")
        for key, value in (("weight", options.weight), ("epsilon", options.epsilon)):
            if not 0 < value < float("inf"):
                raise SettingsError(f"option {key} of quantizer 'vqwae' is {value:g}; choose a number above 0")
        self.weight, self.epsilon, self.rounds = options.weight, options.epsilon, options.rounds

    def loss(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return the weighted Wasserstein distance of at most 2^20 / K features, for each value of a feature."""
        features = Features(z, self.d_star).sample(max(1, assignment.BUDGET_VALUES // self.K))
        return self.weight / self.d_star * wasserstein(features, self.codebook, self.epsilon, self.rounds)
