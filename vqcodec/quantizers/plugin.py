"""Quantizers for foreign networks, in the interface of CompVis' taming-transformers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vqcodec.quantizers.base import Quantizer


class ForTaming(nn.Module):
    """Stands where a VQModel of taming-transformers has its VectorQuantizer2: `model.quantize`.

    n_e is K, e_dim the number d of channels.
    """

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.n_e, self.e_dim = quantizer.K, quantizer.d

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, None, Tensor]]:
        """Quantize z float32 [B, d, h, w].

        Returns z_q [B, d, h, w], the loss, and (perplexity of the indices, None for the one-hot encodings that
        nobody should build, indices int64 flat in the order [B, P, h', w']).
        """
        z_q, indices, loss, usage = self.quantizer(z)
        perplexity = torch.exp(torch.special.entr(usage).sum())
        return z_q, loss, (perplexity, None, indices.flatten())

    def get_codebook_entry(self, indices: Tensor, shape: Sequence[int]) -> Tensor:
        """Return z_q float32 [B, d, h, w] for indices that forward() gave, with shape (B, h, w, d)."""
        settings = self.quantizer.settings
        batch, height, width = shape[0], settings.grid_factor * shape[1], settings.grid_factor * shape[2]
        return self.quantizer.decode(indices.reshape(batch, settings.planes, height, width))
