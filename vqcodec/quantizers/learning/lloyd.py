"""Lloyd's algorithm: codevectors move to the middle of the features that choose them, which then choose again."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vqcodec.quantizers.learning.gradients import vector_sums

# The error falls by a few percent after that.
_ROUNDS = 8


@torch.no_grad()
def lloyd(book: Tensor, z: Tensor, choose: Callable[[], Tensor]) -> Tensor:
    """Move codevectors book [n, d_star], in place, and return how many features chose each at last, int64 [n].

    `choose` gives the rows of the book, int64 [B, P, h, w], that the P units of z [B, P * d_star, h, w] choose at
    present. What no feature chooses stays where it is.
    """
    counts = torch.zeros(len(book), dtype=torch.int64, device=book.device)
    for _ in range(_ROUNDS):
        indices = choose()
        counts = torch.bincount(indices.flatten(), minlength=len(book))
        means = vector_sums(z, indices, *book.shape) / counts.clamp(min=1)[:, None]
        book.copy_(torch.where(counts[:, None] > 0, means, book))
    return counts
