"""Tables for pairs of deviation classes: from logistic densities first, from counted indices later.

A value of class c has, before any index has been counted, a logistic density of deviation
2^((c - 9) / 3) steps and mean zero. The probability of a codevector is the mass of its Voronoi
cell, added up on a fine square grid. Counts are smoothed by those probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vqcodec.encoder.by_table import IndexCosts, TableAssigner
from vqcodec.exact.priors.context import NO_COARSE
from vqcodec.exact.priors.integer_net import SIXTEENTHS
from vqcodec.quantizers.layout.assignment import assign
from vqcodec.training.rate.context_net import CLASS_OF_ONE, CLASSES, deviation
from vqcodec.training.rate.frequencies import frequency_tables
from vqcodec.training.rate.lattice import lattice_points

LOGISTIC_SCALE = math.sqrt(3) / math.pi
"""Scale of a logistic density of deviation 1."""
# Beyond class 15, four steps of deviation, the fine codebook is covered evenly and one table says it all.
FINE_CLASSES = 16
WIDE_CLASS = 6
"""From this class on a unit takes a coarse index: half a step of deviation.

It costs next to nothing where it is zero, and without it a latent that the prior did not expect is cut off where
the fine codebook ends.
"""
# A sixteenth of a step and less: the cells of the codebook are a step wide and more.
_GRID_STEP = 0.06
# Enough that a table nobody used is the density's, few enough that a thousand counts decide alone.
_PSEUDO_COUNTS = 16.0
FloatArray = npt.NDArray[np.float64]


def pair_probabilities(codebook: Tensor, deviations: FloatArray) -> FloatArray:
    """Return the masses [C, C, K] of the cells of codebook [K, 2] under pairs of C deviations in steps."""
    edge = float(codebook.abs().max()) + 2 * _GRID_STEP
    edges = np.arange(-edge, edge, _GRID_STEP)
    centers = torch.from_numpy((edges[1:] + edges[:-1]) / 2).float()
    points = torch.cartesian_prod(centers, centers)
    cell = assign(points[None], codebook)[1][0].numpy()
    mass = _masses(edges, deviations)
    result = np.empty((len(deviations), len(deviations), len(codebook)))
    for i, first in enumerate(mass):
        # Sum over the first value once for each i: weights per (cell, second grid place).
        place = cell * len(centers) + np.tile(np.arange(len(centers)), len(centers))
        weights = np.repeat(first, len(centers))
        summed = np.bincount(place, weights, minlength=len(codebook) * len(centers)).reshape(len(codebook), -1)
        result[i] = mass @ summed.T
    return result


@dataclass(frozen=True)
class PairTables:
    """Probabilities float64 [T, K], the fine map int64 [S, S, 2] and the coarse map int64 [S, S], -1 for none."""

    probabilities: FloatArray
    fine: npt.NDArray[np.int64]
    coarse: npt.NDArray[np.int64]

    def assigner(self, codebook: Tensor, scale: float) -> TableAssigner:
        """Return the choice of indices under these tables, on the codebook's device."""
        costs = torch.from_numpy(-np.log2(self.probabilities)).float()
        tables = (costs, torch.from_numpy(self.fine), torch.from_numpy(self.coarse))
        return TableAssigner(codebook, scale, IndexCosts(*(table.to(codebook.device) for table in tables)), torch)

    def tensors(self) -> dict[str, Tensor]:
        """Return the fields as tensors, for a checkpoint."""
        return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in vars(self).items()}

    def arrays(self, table_bits: int) -> dict[str, npt.NDArray[Any]]:
        """Return what a model holds of them: frequencies uint32 that sum to 2^table_bits, and the maps as uint16."""
        return {
            "tables": frequency_tables(self.probabilities, table_bits),
            "fine_map": self.fine.astype(np.uint16),
            "coarse_map": np.where(self.coarse < 0, NO_COARSE, self.coarse).astype(np.uint16),
        }

    def counted(self, counts: Tensor, codebook: Tensor, scale: float) -> PairTables:
        """Return tables for counts float [T, K]; where there are few, the densities' probabilities speak."""
        start = logistic_tables(codebook, scale).probabilities
        return PairTables(_shares(counts.double().cpu().numpy() + _PSEUDO_COUNTS * start), self.fine, self.coarse)


def written_tables(arrays: Mapping[str, npt.NDArray[Any]]) -> PairTables:
    """Return the tables of a model's context prior from its integer tensors, as `PairTables.arrays` made them."""
    coarse = arrays["coarse_map"].astype(np.int64)
    coarse[arrays["coarse_map"] == NO_COARSE] = -1
    return PairTables(_shares(arrays["tables"].astype(np.float64)), arrays["fine_map"].astype(np.int64), coarse)


_ARMS_SHARE, _FIRST_ARM = 7, 2.5


def hexagonal_codebook(K: int, spacing: float) -> Tensor:
    """Return the K points [K, 2] of a hexagonal lattice nearest to zero, zero first, in sixteenths of a step."""
    return torch.round(lattice_points(2, K) * spacing * SIXTEENTHS) / SIXTEENTHS


def armed_codebook(K: int, spacing: float) -> Tensor:
    """Return the same with its outermost seventh moved outwards along both axes, zero first.

    A coarse index names the same codevectors. A white block in dark surroundings is twice as far from what is expected
    as any latent is from zero, but along one axis: the other latent of such a unit is small. The disc that is left no
    longer covers the corners of coarse cells: one in 170 units with a coarse index is up to 1.5 steps off, not 0.8.
    """
    arms = K // _ARMS_SHARE
    far = lattice_points(2, 8 * K)[K - arms :]
    length, across = far.norm(dim=1), far.prod(1).abs()
    # |sin| of twice the angle is 2 |x y| / r^2: on a diagonal points are as good as 2.5 times as far away.
    distance = length * (1 + 1.5 * 2 * across / length.square())
    # Along the first axis, that of the means of blocks, all are needed: the tilt makes its steps finer still.
    first = (far[:, 1] == 0) & (length <= _FIRST_ARM * length[0])
    order = torch.where(first, 0.0, distance).argsort(stable=True)
    points = torch.cat([lattice_points(2, K - arms), far[order[:arms]]])
    return torch.round(points * spacing * SIXTEENTHS) / SIXTEENTHS


def logistic_tables(codebook: Tensor, scale: float) -> PairTables:
    """Return the tables of logistic densities for a codebook [K, 2] and the scale of the coarse index."""
    codebook = codebook.detach().cpu()
    fine = pair_probabilities(codebook, _deviations(0, FINE_CLASSES))
    coarse = pair_probabilities(codebook, _deviations(CLASS_OF_ONE, CLASSES) / scale)
    classes = np.arange(CLASSES)
    capped = np.minimum(classes, FINE_CLASSES - 1)
    near = capped[:, None] * FINE_CLASSES + capped
    raised = np.maximum(classes, CLASS_OF_ONE) - CLASS_OF_ONE
    place = 2 * len(fine) ** 2 + raised[:, None] * len(coarse) + raised
    is_wide = np.maximum(classes[:, None], classes) >= WIDE_CLASS
    # Beside a coarse index other than zero a fine index is nearly uniform, which the widest pair is too.
    far = np.broadcast_to(fine[-1, -1], fine.shape)
    probabilities = [part.reshape(-1, len(codebook)) for part in (fine, far, coarse)]
    maps = np.stack([near, near + len(fine) ** 2], 2), np.where(is_wide, place, -1)
    return PairTables(_shares(np.concatenate(probabilities) + 1e-9), *maps)


def _deviations(start: int, stop: int) -> FloatArray:
    return deviation(torch.arange(start, stop)).double().numpy()


def _shares(weights: FloatArray) -> FloatArray:
    shares: FloatArray = weights / weights.sum(axis=1, keepdims=True)
    return shares


def _masses(edges: FloatArray, deviations: FloatArray) -> FloatArray:
    """Return [C, G], the mass of each interval; the outer ones reach to infinity."""
    scaled = edges[None, 1:-1] / (deviations[:, None] * LOGISTIC_SCALE)
    inner = 0.5 * (1 + np.tanh(scaled / 2))
    ones, zeros = np.ones((len(deviations), 1)), np.zeros((len(deviations), 1))
    return np.diff(np.concatenate([zeros, inner, ones], 1), axis=1)
