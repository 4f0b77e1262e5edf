"""Product quantisation: every unit has a codebook of its own.

Jegou, Douze, Schmid 2011: "Product Quantization for Nearest Neighbor Search", section II.B, learned as in
VQ-VAE. The index of a unit names one of K codevectors of that unit's codebook; `usage` counts indices of all units.
"""

from __future__ import annotations

from vqcodec.quantizers.base import Learned


class PQ(Learned):
    """Codebooks [m, K, d_star] for m units of d_star channels, each learned from its own unit alone."""
