"""Product quantization: every unit has a codebook of its own.

Jegou, Douze, Schmid 2011: "Product Quantization for Nearest Neighbor Search", section II.B, learned as in
VQ-VAE. The index of a unit names one of K codevectors of that unit's codebook; `usage` counts indices of all units.
"""

from __future__ import annotations

from dataclasses import dataclass

from vqcodec.quantizers.averaged import Averaged, Learn
from vqcodec.quantizers.layout.settings import MOST_UNITS, QuantizerSettings
from vqcodec.quantizers.registry import register


@dataclass(frozen=True)
class Options:
    """learn: what moves codevectors, the gradient of the loss or moving averages of their features (`ema`)."""

    learn: Learn = "loss"


@register("pq", options=Options, layout="own", units=MOST_UNITS, defaults={"m": 32})
class PQ(Averaged):
    """Codebooks [m, K, d_star] for m units of d_star channels, each learned from its own unit alone."""

    def __init__(self, settings: QuantizerSettings, options: Options = Options()) -> None:
        super().__init__(settings, options.learn)
