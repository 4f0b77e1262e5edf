"""What a codebook does: which codevectors which units use, how often, and what that costs.

counts: int64 [P, K], how often each codevector was stored in each index plane. A unit has one
plane, or with depth 2 two of them if it is one of the first `wide`. Entropies are in bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vqcodec.exact.indices import PictureChoice
from vqcodec.exact.model_file import Metadata
from vqcodec.exact.priors import Prior

Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Usage:
    """What was counted over pictures: counts [P, K], and bits float64 [P] of the planes under the model's tables."""

    counts: Counts
    table_bits: Values

    @staticmethod
    def empty(planes: int, K: int) -> Usage:
        """Return the usage of no pictures."""
        return Usage(np.zeros((planes, K), dtype=np.int64), np.zeros(planes))

    def plus(self, encoded: PictureChoice, prior: Prior) -> Usage:
        """Return this usage with one picture's indices counted in."""
        choice = encoded.choice
        costs = prior.index_bits(choice.indices, choice.classes, encoded.size.quality)
        # What is coded costs something: no table gives a symbol the whole of its range.
        return Usage(
            self.counts + count(choice.indices, prior.K, costs > 0),
            self.table_bits + costs.sum(axis=(1, 2), dtype=np.float64),
        )


def count(indices: npt.NDArray[np.uint16], K: int, coded: npt.NDArray[np.bool_]) -> Counts:
    """Return counts int64 [P, K] of indices [P, h', w'] where they are coded, bool [P, h', w']."""
    planes = len(indices)
    offset = np.arange(planes, dtype=np.int64)[:, None, None] * K
    return np.bincount((indices + offset)[coded], minlength=planes * K).reshape(planes, K)


def unit_counts(counts: Counts, wide: int) -> Counts:
    """Return counts int64 [m, K] of units: the coarse planes are added to the fine ones of the same unit."""
    units = counts[wide:].copy()
    units[:wide] += counts[:wide]
    return units


def entropy(counts: Counts) -> Values:
    """Return the entropy in bits of the last axis' distribution; 0 where nothing was counted."""
    total = counts.sum(axis=-1, keepdims=True)
    share = counts / np.maximum(total, 1)
    terms = np.where(share > 0, -share * np.log2(np.where(share > 0, share, 1)), 0)
    bits: Values = terms.sum(axis=-1)
    return bits


def sharing(units: Counts) -> tuple[list[int], list[float]]:
    """Return for each codevector how many units use it, and for n = 1..m the share used by at least n units."""
    used_by = (units > 0).sum(axis=0)
    return used_by.tolist(), [float((used_by >= n).mean()) for n in range(1, len(units) + 1)]


def summarize(usage: Usage, metadata: Metadata) -> dict[str, Any]:
    """Return figures of the whole codebook, of units, of planes, and of sharing, as plain values for JSON."""
    wide = metadata.quantizer["wide"]
    units = unit_counts(usage.counts, wide)
    used_by, at_least = sharing(units)
    return {
        "codebook": _codebook(usage.counts.sum(axis=0)),
        "units": [{"unit": i, **_distribution(row)} for i, row in enumerate(units)],
        "planes": [
            {
                "unit": i if i < wide else i - wide,
                "stage": "coarse" if i < wide else "fine",
                **_distribution(row),
                "table_bits": float(bits / max(1, row.sum())),
            }
            for i, (row, bits) in enumerate(zip(usage.counts, usage.table_bits, strict=True))
        ],
        "sharing": {"units_per_codevector": used_by, "share_used_by_at_least": at_least},
    }


def _codebook(counts: Counts) -> dict[str, Any]:
    return {**_distribution(counts), "counts": counts.tolist()}


def _distribution(counts: Counts) -> dict[str, Any]:
    """Return what one row [K] of counts says: how many are used, their share of K, perplexity and entropy."""
    bits = float(entropy(counts))
    used = int((counts > 0).sum())
    return {
        "indices": int(counts.sum()),
        "used": used,
        "usage": used / len(counts),
        "perplexity": 2.0**bits,
        "entropy_bits": bits,
    }


def principal_plane(codebook: npt.NDArray[np.float32]) -> tuple[Values, float]:
    """Return points float64 [K, 2] to draw a codebook [K, d_star] at, and the share of its variance that they show.

    Two dimensions are drawn as they are, one along the x axis, more by their two principal
    components (PCA).
    """
    vectors = codebook.astype(np.float64)
    if vectors.shape[1] <= 2:
        missing = 2 - vectors.shape[1]
        return np.pad(vectors, ((0, 0), (0, missing))), 1.0
    centered = vectors - vectors.mean(axis=0)
    _, deviations, axes = np.linalg.svd(centered, full_matrices=False)
    power = np.square(deviations)
    shown = float(power[:2].sum() / power.sum()) if power.sum() else 1.0
    return centered @ axes[:2].T, shown
