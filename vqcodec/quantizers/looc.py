"""LooC: one low-dimensional codebook that all units of a feature vector share.

Li, Wong, Han: "LooC: Effective Low-Dimensional Codebook for Compositional Vector
Quantization", section 3.2. A feature vector of d values is cut into m units of
d_star = d / m contiguous channels; each picks one of K codevectors of the same codebook. beta and
the coarse stage of depth 2 are described in coding.py. As published the codebook learns by
gradient and by CVQ's online clustering.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from vqcodec.quantizers.averaged import Averaged, Learn
from vqcodec.quantizers.layout.settings import MOST_BETA, MOST_UNITS, QuantizerSettings
from vqcodec.quantizers.learning.anchors import Anchor, Features
from vqcodec.quantizers.learning.clustering import OnlineClustering
from vqcodec.quantizers.registry import register


@dataclass(frozen=True)
class Options:
    """online_clustering: whether training revives unused codevectors; anchor: what they move to (anchors.py).

    `auto` does with depth 1; with depth 2 entropy coding makes far codevectors rare on purpose, and
    they must stay where they are. learn: what moves codevectors that are used, the gradient of the loss or moving
    averages of their features (`ema`).
    """

    online_clustering: Literal["auto", "on", "off"] = "auto"
    anchor: Anchor = "closest"
    learn: Learn = "loss"


@register(
    "looc", options=Options, units=MOST_UNITS, beta=MOST_BETA, depth=2, by_rate=True, defaults={"m": 32},
    first={"options": {"learn": "ema"}},
    remedy="-O learn=ema, other anchors (-O anchor=random) or a larger --batch, which has more of them",
)  # fmt: skip
class LooC(Averaged):
    """A shared codebook [K, d_star] for m units, with beta and an optional coarse stage."""

    def __init__(self, settings: QuantizerSettings, options: Options = Options()) -> None:
        super().__init__(settings, options.learn)
        self.clustering = OnlineClustering(self.K, self.d_star, settings.match, options.anchor)
        on = {"auto": settings.depth == 1, "on": True, "off": False}
        self.online_clustering = on[options.online_clustering]

    def update(self, z: Tensor, indices: Tensor, usage: Tensor) -> None:
        """Revive unused codevectors at features of this batch."""
        super().update(z, indices, usage)
        if self.online_clustering:
            self.clustering.update(self.codebook, usage, Features(z, self.d_star))

    def note_usage(self, usage: Tensor) -> None:
        """Start online clustering from a counted usage [K] instead of from nothing."""
        super().note_usage(usage)
        self.clustering.average.copy_(usage)
