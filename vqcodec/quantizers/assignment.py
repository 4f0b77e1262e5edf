"""Nearest-codevector search that never builds a table larger than a set budget."""

from __future__ import annotations

import torch
from torch import Tensor

BUDGET_VALUES = 1 << 20
"""Most float32 values that one block of the distance table may hold: 4 MiB, which a cache holds too."""


def assign(x: Tensor, codebook: Tensor, penalty: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the least cost float32 [G, N] and its index int64 [G, N] for vectors x [G, N, d_star].

    The cost of codevector c is ||x - c||^2 + penalty, with codebook [K, d_star] and
    penalty [G, K] or None. Blocks along N keep the table of distances within the budget.
    """
    groups, count, _ = x.shape
    offset = codebook.square().sum(1).expand(groups, -1)
    if penalty is not None:
        offset = offset + penalty
    rows = max(1, BUDGET_VALUES // max(1, groups * len(codebook)))
    factor = (-2.0 * codebook.t()).expand(groups, -1, -1)
    costs, indices = [], []
    for start in range(0, count, rows):
        block = x[:, start : start + rows]
        cost, index = torch.baddbmm(offset.unsqueeze(1), block, factor).min(2)
        costs.append(cost + block.square().sum(2))
        indices.append(index)
    return torch.cat(costs, 1), torch.cat(indices, 1)


def nearest_vectors(codebook: Tensor, vectors: Tensor, limit: int = 4096) -> Tensor:
    """Return for each codevector [k, d_star] the nearest of at most `limit` given vectors [N, d_star]."""
    stride = max(1, len(vectors) // limit)
    pool = vectors[::stride][:limit]
    _, index = assign(codebook.unsqueeze(0), pool)
    return pool[index[0]]
