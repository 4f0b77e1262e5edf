"""Where a codebook starts: the points of a good lattice that the data visit most."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from vqcodec.quantizers.layout.assignment import assign

# So that the K most visited points can reach further in some direction than the K innermost ones.
_CANDIDATES_PER_CODEVECTOR = 4
# The grid of candidates grows as a power of the dimensions.
_MOST_DIMENSIONS = 4


def initial_codebook(vectors: Tensor, K: int, spacing: float) -> Tensor:
    """Return K codevectors [K, d_star] for sample vectors [N, d_star] in quantizer steps.

    In 1, 2 and 4 dimensions the points of Z, of the hexagonal lattice A2 and of D4, whose cells
    cost 0.17 dB and 0.37 dB less than a cube's; in 3 those of Z^3; the K that most vectors are
    nearest to, ties to the inner ones. In more dimensions K of the vectors themselves.
    """
    device, vectors = vectors.device, vectors.detach().float().cpu()
    return _choose(vectors, K, spacing).to(device)


def _choose(vectors: Tensor, K: int, spacing: float) -> Tensor:
    d_star = vectors.shape[1]
    if d_star > _MOST_DIMENSIONS:
        by_length = vectors.square().sum(1).argsort()
        places = torch.linspace(0, len(vectors) - 1, K, dtype=torch.float64).round().long()
        # A little noise, because equal vectors would be one codevector twice, and never part.
        return vectors[by_length[places]] + 1e-3 * torch.randn(K, d_star, generator=torch.Generator().manual_seed(K))
    points = lattice_points(d_star, _CANDIDATES_PER_CODEVECTOR * K) * spacing
    _, index = assign(vectors[None], points)
    visits = torch.bincount(index[0], minlength=len(points)).double()
    inner_first = visits - torch.arange(len(points)) / len(points)
    return points[inner_first.argsort(descending=True)[:K].sort().values].clone()


def lattice_points(dimensions: int, count: int) -> Tensor:
    """Return the `count` points nearest to zero, float32 [count, dimensions], smallest distance 1."""
    reach = math.ceil(1.5 * count ** (1 / dimensions)) + 2
    grid = torch.tensor(list(itertools.product(range(-reach, reach + 1), repeat=dimensions)), dtype=torch.float32)
    if dimensions == 2:
        grid = grid @ torch.tensor([[1.0, 0.0], [0.5, math.sqrt(0.75)]])
    elif dimensions == 4:
        grid = grid[grid.sum(1) % 2 == 0] / math.sqrt(2)
    return grid[grid.square().sum(1).argsort(stable=True)[:count]]
