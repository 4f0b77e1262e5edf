"""CVQ's online clustering: codevectors that nobody uses move to where the features are.

Zheng, Vedaldi: "Online Clustered Codebook" (CVQ-VAE), equations 4 to 6, with the constants
of the published code, as LooC's authors use it. Only codevectors used far less often than
1 / K move: one of average use keeps its place to within 1e-4 once the average has settled.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vqcodec.quantizers.assignment import nearest_vectors

DECAY = 0.99
_SHARPNESS = 10.0
_NEVER = 1e-6


class OnlineClustering(nn.Module):
    """Keeps the running average usage [K] of a codebook and revives its unused codevectors."""

    average: Tensor

    def __init__(self, K: int) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(K))

    @torch.no_grad()
    def update(self, codebook: nn.Parameter, usage: Tensor, features: Tensor) -> None:
        """Move rarely used codevectors towards their nearest feature of this batch.

        codebook [K, d_star] is changed in place; usage [K] sums to 1; features [N, d_star].
        """
        self.average.mul_(DECAY).add_(usage, alpha=1 - DECAY)
        weight = torch.exp(-self.average * len(codebook) * _SHARPNESS / (1 - DECAY) - 1e-3)
        moving = torch.nonzero(weight > _NEVER).flatten()
        if len(moving):
            anchors = nearest_vectors(codebook[moving], features)
            codebook[moving] = torch.lerp(codebook[moving], anchors, weight[moving, None])
