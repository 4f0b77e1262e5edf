"""Nearest-codevector search that never builds a table larger than a set budget."""

from __future__ import annotations

import torch
from torch import Tensor

BUDGET_VALUES = 1 << 20
"""Most float32 values that one block of the distance table may hold: 4 MiB, which a cache holds too."""


def assign(x: Tensor, codebook: Tensor, penalty: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the least cost float32 [G, N] and its index int64 [G, N] for vectors x [G, N, d_star].

    The cost of codevector c is ||x - c||^2 + penalty, with codebook [K, d_star] and
    penalty [G, K] or None. Blocks along G and N keep the table of distances within the budget,
    unless a single row of K values is larger.
    """
    groups, count, _ = x.shape
    cost = x.new_empty(groups, count)
    index = torch.empty(groups, count, dtype=torch.int64, device=x.device)
    together = max(1, BUDGET_VALUES // len(codebook))
    rows = max(1, together // max(1, min(groups, together)))
    square, factor = codebook.square().sum(1), -2.0 * codebook.t()
    for first in range(0, groups, together):
        some = slice(first, first + together)
        offset = square.expand(len(x[some]), -1) if penalty is None else square + penalty[some]
        for start in range(0, count, rows):
            block = x[some, start : start + rows]
            least, place = torch.baddbmm(offset.unsqueeze(1), block, factor.expand(len(block), -1, -1)).min(2)
            cost[some, start : start + rows] = least + block.square().sum(2)
            index[some, start : start + rows] = place
    return cost, index


def nearest_vectors(codebook: Tensor, vectors: Tensor, limit: int = 4096) -> Tensor:
    """Return for each codevector [k, d_star] the nearest of at most `limit` given vectors [N, d_star]."""
    stride = max(1, len(vectors) // limit)
    pool = vectors[::stride][:limit]
    _, index = assign(codebook.unsqueeze(0), pool)
    return pool[index[0]]
