"""Product quantization: every unit has a codebook of its own.

Jegou, Douze, Schmid 2011: "Product Quantization for Nearest Neighbor Search", section II.B, learned as in
VQ-VAE. The index of a unit names one of K codevectors of that unit's codebook; `usage` counts indices of all units.
LooC's released code has CVQ-VAE's quantizer for each unit, with online clustering.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from vqcodec.quantizers.averaged import Averaged, Learn
from vqcodec.quantizers.layout.settings import MOST_UNITS, QuantizerSettings
from vqcodec.quantizers.learning.anchors import Features
from vqcodec.quantizers.learning.clustering import OnlineClustering
from vqcodec.quantizers.registry import register


@dataclass(frozen=True)
class Options:
    """learn: what moves codevectors, the gradient of the loss or moving averages of their features (`ema`).

    anchor: what codevectors that nobody uses move to (anchors.py), `none` where they stay.
    """

    learn: Learn = "loss"
    anchor: Literal["none", "closest", "random", "unique", "probrandom"] = "none"


@register(
    "pq", options=Options, layout="own", units=MOST_UNITS, defaults={"m": 32},
    first={"options": {"learn": "ema"}},
    remedy="-O learn=ema, which keeps codevectors among the latents, -O anchor=closest, or a smaller -K",
)  # fmt: skip
class PQ(Averaged):
    """Codebooks [m, K, d_star] for m units of d_star channels, each learned from its own unit alone."""

    def __init__(self, settings: QuantizerSettings, options: Options = Options()) -> None:
        super().__init__(settings, options.learn)
        clusterings = []
        if options.anchor != "none":
            clusterings = [OnlineClustering(self.K, self.d_star, settings.match, options.anchor) for _ in range(self.m)]
        self.clustering = nn.ModuleList(clusterings)

    def update(self, z: Tensor, indices: Tensor, usage: Tensor) -> None:
        """Move codevectors, then revive those of each unit that it does not use."""
        super().update(z, indices, usage)
        for unit, clustering in enumerate(self.clustering):
            features = Features(z[:, unit * self.d_star : (unit + 1) * self.d_star], self.d_star)
            assert isinstance(clustering, OnlineClustering)
            clustering.update(self.codebook.data[unit], self.usage_of(indices[:, unit]), features)
