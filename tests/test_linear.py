"""Linear prediction from known neighbors: the formulas of FORMAT.md, exact at the ends of their ranges."""

from __future__ import annotations

import numpy as np
import pytest

from vqcodec.errors import ModelError
from vqcodec.exact.priors.linear import MOST_CHANNELS, Linear

LATENT = 32768 + 256 * 32768


def by_hand(latents: list[list[int]], known: list[bool], weight: list[list[int]]) -> tuple[list[int], list[int]]:
    """The prediction and the roughness of one place, number by number; latents are [offsets][n]."""
    n, count = len(latents[0]), sum(known)
    here = [row for row, is_known in zip(latents, known, strict=True) if is_known]
    means = [(2 * sum(row[i] for row in here) + count) // (2 * count) for i in range(n)]
    filled = [v for row, is_known in zip(latents, known, strict=True) for v in (row if is_known else means)]
    linear = [(sum(v * row[i] for v, row in zip(filled, weight, strict=True)) + 2048) // 4096 for i in range(n)]
    far = [sum(abs(row[i] - linear[i]) for row in here) for i in range(n)]
    return linear, [min((2 * total + count) // (2 * count), 127) for total in far]


@pytest.mark.parametrize("largest", [40, 3000, LATENT])
def test_proof_predictions_are_those_of_the_text(largest: int) -> None:
    random = np.random.default_rng(largest)
    offsets, n = 12, 4
    weight = random.integers(-(1 << 15), 1 << 15, (offsets * n, n)).astype(np.int16)
    latents = random.integers(-largest, largest + 1, (50, offsets, n))
    latents[0], latents[1] = largest, -largest
    known = random.random((50, offsets)) < 0.6
    known[:, 3] = True
    predicted, roughness = Linear.make("x", weight).predict(latents, known)
    for at in range(50):
        wanted = by_hand(latents[at].tolist(), known[at].tolist(), weight.tolist())
        assert (predicted[at].tolist(), roughness[at].tolist()) == wanted


def test_proof_sums_are_exact_with_as_many_channels_as_there_may_be() -> None:
    """Every term as large as it can be, all of one sign, and half of each sign."""
    offsets = 12
    weight = np.full((offsets * MOST_CHANNELS, 3), -(1 << 15), np.int16)
    weight[::2, 1] = (1 << 15) - 1
    latents = np.full((1, offsets, MOST_CHANNELS), -LATENT)
    sums = latents.reshape(1, -1).astype(object) @ weight.astype(object)
    found = latents.reshape(1, -1).astype(np.float64) @ Linear.make("x", weight).weight
    assert found.astype(np.int64).tolist() == sums.tolist()
    assert max(abs(v) for v in sums[0]) < 1 << 53


def test_a_flat_surrounding_is_predicted_exactly_and_is_smooth() -> None:
    weight = np.tile(np.eye(2, dtype=np.int16) * 1024, (4, 1))
    latents, known = np.full((3, 4, 2), [-777, 4242]), np.ones((3, 4), bool)
    known[1:, :3] = False
    latents[1:, :3] = 0
    predicted, roughness = Linear.make("x", weight).predict(latents, known)
    assert predicted.tolist() == [[-777, 4242]] * 3
    assert not roughness.any()


def test_weights_of_another_type_are_refused() -> None:
    with pytest.raises(ModelError, match="int32 instead of int16"):
        Linear.make("x", np.zeros((4, 1), np.int32))
