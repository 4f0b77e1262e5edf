"""Nearest-codevector search that never builds a table larger than a set budget."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

BUDGET_VALUES = 1 << 20
"""Most float32 values that a table of distances or probabilities may hold at a time: 4 MiB."""
# 1 MiB of float32: a core's second-level cache, in which the four passes of _least find the table again.
_CPU_BLOCK = 1 << 18
# For shorter rows four passes cost more than the one of torch's minimum.
_VECTORIZED = 32


@torch.no_grad()
def assign(x: Tensor, codebook: Tensor, penalty: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the least cost float32 [G, N] and its index int64 [G, N] for vectors x [G, N, d_star].

    The cost of codevector c is ||x - c||^2 + penalty, with codebook [K, d_star] and
    penalty [G, K] or None; of equal costs the lowest index is taken. Blocks along G and N keep the
    table of distances within the budget, unless a single row of K values is larger.
    """
    groups, count, d_star = x.shape
    cost = x.new_empty(groups, count)
    index = torch.empty(groups, count, dtype=torch.int64, device=x.device)
    # [x, 1] times [-2 c, ||c||^2] is the distance without ||x||^2, in one product.
    factor = torch.cat([-2.0 * codebook, codebook.square().sum(1, keepdim=True)], 1).t()
    rows, together = _block_shape(x, len(codebook))
    vectors, table = x.new_ones(rows * together, d_star + 1), x.new_empty(rows * together, len(codebook))
    for some, part in _blocks(groups, together, count, rows):
        block = x[some, part]
        shape = block.shape[:2]
        flat = vectors[: shape.numel()]
        flat[:, :d_star].view(block.shape).copy_(block)
        distances = torch.mm(flat, factor, out=table[: shape.numel()])
        if penalty is not None:
            distances.view(*shape, -1).add_(penalty[some].unsqueeze(1))
        least, place = _least(distances)
        # ||x||^2 was left out above: it is the same for all codevectors and does not change which is nearest.
        cost[some, part] = (least + flat[:, :d_star].square().sum(1)).view(shape)
        index[some, part] = place.view(shape)
    return cost, index


def block_values(device: torch.device) -> int:
    """Return how many values the table of one block has: few stay in a core's own cache, many keep a GPU busy."""
    return min(BUDGET_VALUES, _CPU_BLOCK) if device.type == "cpu" else BUDGET_VALUES


def _block_shape(x: Tensor, K: int) -> tuple[int, int]:
    """Return how many vectors of how many groups one block takes."""
    groups, count, _ = x.shape
    values = block_values(x.device)
    rows = max(1, min(count, values // K))
    return rows, max(1, min(groups, values // (K * rows)))


def _blocks(groups: int, together: int, count: int, rows: int) -> Iterator[tuple[slice, slice]]:
    for first in range(0, groups, together):
        for start in range(0, count, rows):
            yield slice(first, first + together), slice(start, start + rows)


def _least(distances: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least value [n] of each row [n, K], which is overwritten, and the first place int64 [n] of it."""
    K = distances.shape[1]
    if K < _VECTORIZED:
        return distances.min(1)
    # Four simple passes take half as long as torch's minimum with a place.
    least = distances.amin(1)
    places = torch.arange(K, dtype=distances.dtype, device=distances.device)
    torch.gt(distances, least.unsqueeze(1), out=distances)
    return least, torch.add(places, distances, alpha=K, out=distances).amin(1).long()
