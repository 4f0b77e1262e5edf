"""From counts of indices to the integer tables of the static prior."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.integer]

_ROUNDS = 8
# What a context has seen less than eight times is worth less than what all contexts together say.
_FALLBACK_WEIGHT = 8.0
_BLOCK_ROWS = 8192


def frequency_tables(probabilities: FloatArray, bits: int) -> npt.NDArray[np.uint32]:
    """Return frequencies uint32 [T, K], at least 1, rows summing to 2^bits, for rows of probabilities [T, K]."""
    total, K = 1 << bits, probabilities.shape[1]
    shares = probabilities.astype(np.float64) / probabilities.sum(axis=1, keepdims=True, dtype=np.float64)
    frequencies = np.floor(shares * (total - K)).astype(np.int64) + 1
    # What flooring leaves over goes to the most frequent symbol, where it changes the cost least.
    frequencies[np.arange(len(frequencies)), frequencies.argmax(axis=1)] += total - frequencies.sum(axis=1)
    result: npt.NDArray[np.uint32] = frequencies.astype(np.uint32)
    return result


def smooth(counts: FloatArray, fallback: FloatArray) -> FloatArray:
    """Return counts [..., K] plus a few pseudo-counts distributed like `fallback` [..., K] (broadcast)."""
    share = fallback + 1e-3
    share = share / share.sum(axis=-1, keepdims=True)
    smoothed: FloatArray = (counts + _FALLBACK_WEIGHT * share).astype(np.float32)
    return smoothed


def cluster(histograms: FloatArray, tables: int) -> tuple[FloatArray, npt.NDArray[np.uint16]]:
    """Share `tables` distributions [T, K] among histograms [n, K] so that coding costs few bits.

    k-means under cross entropy: a histogram goes to the distribution that codes it in the fewest
    bits, a distribution is the sum of its histograms. Returns distributions and numbers [n].
    """
    # Sorted by entropy: neighbors in that order cost alike, so the first groups are already close.
    order = np.argsort(_entropy(histograms), kind="stable")
    numbers: npt.NDArray[np.int64] = np.empty(len(histograms), dtype=np.int64)
    numbers[order] = np.arange(len(order)) * min(tables, len(order)) // len(order)
    for _ in range(_ROUNDS):
        distributions = _sum_by(histograms, numbers, int(numbers.max()) + 1)
        _, numbers = np.unique(_cheapest(histograms, distributions), return_inverse=True)
    return _sum_by(histograms, numbers, int(numbers.max()) + 1), numbers.astype(np.uint16)


def _cheapest(histograms: FloatArray, distributions: FloatArray) -> IntArray:
    cost = -np.log2(distributions / distributions.sum(axis=1, keepdims=True)).T
    blocks = range(0, len(histograms), _BLOCK_ROWS)
    return np.concatenate([(histograms[i : i + _BLOCK_ROWS] @ cost).argmin(axis=1) for i in blocks])


def _sum_by(histograms: FloatArray, numbers: IntArray, groups: int) -> FloatArray:
    sums = np.zeros((groups, histograms.shape[1]), dtype=np.float32)
    order = np.argsort(numbers, kind="stable")
    used, starts = np.unique(numbers[order], return_index=True)
    sums[used] = np.add.reduceat(histograms[order], starts, axis=0)
    return sums + 1e-4


def _entropy(histograms: FloatArray) -> FloatArray:
    share = histograms / histograms.sum(axis=1, keepdims=True)
    entropy: FloatArray = -(share * np.log2(share + 1e-12)).sum(axis=1)
    return entropy
