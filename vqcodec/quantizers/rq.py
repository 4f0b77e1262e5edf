"""Residual quantization: `depth` stages share a codebook, and each takes what the earlier ones left.

Lee, Kim, Kim, Cho, Han 2022: "Autoregressive Image Generation using Residual Quantization" (RQ-VAE), section 3.1.
z_q is the sum of a codevector for each stage.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vqcodec.quantizers.base import Learned
from vqcodec.quantizers.layout.settings import MOST_STAGES
from vqcodec.quantizers.learning.gradients import COMMITMENT, residual_loss
from vqcodec.quantizers.registry import register


@register("rq", layout="stages", depth=MOST_STAGES, defaults={"depth": 4})
class RQ(Learned):
    """A codebook [K, d] that all stages share, learned by gradient."""

    def quantize(self, z: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return decode(indices) and the mean over the stages of VQ's loss for the sum up to each (equation 7)."""
        with torch.no_grad():
            z_q = self.decode(indices)
        return z_q, residual_loss(z, self.codebook, indices, COMMITMENT)
