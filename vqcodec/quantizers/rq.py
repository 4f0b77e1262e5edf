"""Residual quantization: `depth` stages share a codebook, and each takes what the earlier ones left.

Lee, Kim, Kim, Cho, Han 2022: "Autoregressive Image Generation using Residual Quantization" (RQ-VAE), section 3.1.
z_q is the sum of a codevector for each stage.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from vqcodec.quantizers.base import Learned
from vqcodec.quantizers.layout.assignment import assign
from vqcodec.quantizers.layout.settings import MOST_STAGES
from vqcodec.quantizers.learning.gradients import COMMITMENT, residual_loss
from vqcodec.quantizers.learning.lloyd import lloyd
from vqcodec.quantizers.registry import register


@register(
    "rq", layout="stages", depth=MOST_STAGES, defaults={"depth": 4},
    remedy="a smaller -K, fewer stages (--depth) or a lower learning rate",
)  # fmt: skip
class RQ(Learned):
    """A codebook [K, d] that all stages share, learned by gradient."""

    def quantize(self, z: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return decode(indices) and the mean over the stages of VQ's loss for the sum up to each (equation 7)."""
        with torch.no_grad():
            z_q = self.decode(indices)
        return z_q, residual_loss(z, self.codebook, indices, COMMITMENT)

    @torch.no_grad()
    def cluster(self, z: Tensor) -> None:
        """Give each stage a share of the codevectors, the middles of what the stages before it leave of z."""
        rest = z
        for book in self.codebook.data.tensor_split(self.settings.depth):
            vectors = rest.movedim(1, -1).reshape(-1, self.d)
            book.copy_(vectors[torch.linspace(0, len(vectors) - 1, len(book)).long()])
            choose = partial(_nearest, rest, book)
            lloyd(book, rest, choose)
            rest = rest - book[choose()[:, 0]].movedim(-1, 1)


def _nearest(z: Tensor, book: Tensor) -> Tensor:
    """Return int64 [B, 1, h, w] for z [B, d, h, w]."""
    vectors = z.movedim(1, -1).flatten(1, 2)
    return assign(vectors, book)[1].view(len(z), 1, *z.shape[2:])
