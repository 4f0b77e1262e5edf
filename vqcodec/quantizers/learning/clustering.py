"""CVQ's online clustering: codevectors that nobody uses move to where the features are.

Zheng, Vedaldi: "Online Clustered Codebook" (CVQ-VAE), equations 4 to 6, with the constants
of the published code, as LooC's authors use it. Only codevectors used far less often than
1 / K move: one of average use keeps its place to within 1e-4 once the average has settled.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from vqcodec.quantizers.layout.matching import Match
from vqcodec.quantizers.learning import anchors
from vqcodec.quantizers.learning.anchors import Anchor, Features

When = Literal["online", "offline"]
DECAY = 0.99
_SHARPNESS = 10.0
_NEVER = 1e-6


class OnlineClustering(nn.Module):
    """Keeps the running average usage [K] of a codebook and revives its unused codevectors.

    anchor: what they move to (anchors.py); when: after every batch, or `offline`, after the first one only.
    """

    average: Tensor

    def __init__(
        self, K: int, d_star: int, match: Match = "l2", anchor: Anchor = "closest", when: When = "online"
    ) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(K))
        self.anchors = anchors.build(anchor, K, d_star, match)
        self.when = when

    @torch.no_grad()
    def update(self, codebook: Tensor, usage: Tensor, features: Features) -> None:
        """Move rarely used codevectors towards their anchors among this batch's features.

        codebook [K, d_star] is changed in place; usage [K] sums to 1.
        """
        # Any usage adds up to 1, so that the average is zero before the first batch only.
        if self.when == "offline" and self.average.any():
            return
        moving, weight, chosen = self._moves(codebook, usage, features)
        codebook[moving] = torch.lerp(codebook[moving], chosen, weight)

    def pull(self, codebook: Tensor, usage: Tensor, features: Features) -> Tensor:
        """Return the scalar whose gradient moves rarely used codevectors, for a codebook that a network computes.

        It is the mean over all K * d_star values of weight * (c - anchor)^2, with the weights of `update`, instead of
        which it takes note of the batch.
        """
        moving, weight, chosen = self._moves(codebook, usage, features)
        return (weight * (codebook[moving] - chosen).square()).sum() / codebook.numel()

    @torch.no_grad()
    def _moves(self, codebook: Tensor, usage: Tensor, features: Features) -> tuple[Tensor, Tensor, Tensor]:
        """Take note of a batch; return places int64 [k] of what moves, how far 0..1 [k, 1], and anchors [k, d_star]."""
        self.average.mul_(DECAY).add_(usage, alpha=1 - DECAY)
        self.anchors.see(features)
        weight = torch.exp(-self.average * len(codebook) * _SHARPNESS / (1 - DECAY) - 1e-3)
        moving = torch.nonzero(weight > _NEVER).flatten()
        chosen = codebook[moving]
        if len(moving):
            chosen = self.anchors.choose(chosen, moving, features)
        return moving, weight[moving, None], chosen
