"""Proof that activations, means, deviation classes and inputs of integer networks are those of FORMAT.md's formulas."""

from __future__ import annotations

import numpy as np

from vqcodec.exact.priors import integer_net
from vqcodec.exact.priors.integer_net import BOUND, SHIFT_MAX, Dense


def test_proof_activations_are_those_of_integers() -> None:
    random = np.random.default_rng(0)
    for shift in range(SHIFT_MAX + 1):
        step = 1 << shift
        near = (np.arange(-3, 132)[:, None] * step + step // 2 + np.arange(-2, 3)).reshape(-1)
        sums = np.concatenate([near, [-BOUND, BOUND, 0], random.integers(-BOUND, BOUND + 1, 5000)]).clip(-BOUND, BOUND)
        layer = Dense.make("layer", (), np.zeros(1, np.int32), np.full(1, shift, np.uint8))
        wanted = ((sums + (step >> 1)) >> shift).clip(0, 127)
        np.testing.assert_array_equal(layer.activate(sums.astype(np.float32)[:, None])[:, 0], wanted)


def test_proof_means_deviation_classes_and_inputs_are_those_of_integers() -> None:
    """Against Python's integers, at the ends of all ranges."""
    spreads = [1, 2, 37, 4095, (1 << 31) - 1]
    for shift in range(SHIFT_MAX + 1):
        for o in (-BOUND, BOUND, -1, 0, 1, *(k << shift for k in (-9, -8, 7, 8, 9, 500))):
            sums, shifts = np.full((1, len(spreads)), o, np.float32), np.full(len(spreads), shift)
            means = [min(max((o * u + (1 << shift + 3)) // (1 << shift + 4), -32768), 32767) for u in spreads]
            assert integer_net.to_mean(sums, shifts, np.array(spreads), 0)[0].tolist() == means
            raised = [min(max((o * u + (1 << shift + 3)) // (1 << shift + 4) + 999, -32768), 32767) for u in spreads]
            assert integer_net.to_mean(sums, shifts, np.array(spreads), np.array(999))[0].tolist() == raised
            expected = min(max((o + (1 << shift + 3)) // (1 << shift + 4), 0), 30)
            assert set(integer_net.to_deviation_class(sums, shifts, 31)[0].tolist()) == {expected}
    extreme = 32768 + 256 * 32768
    for y in (-extreme, extreme, -1, 0, 1, 18, 19, -18, -19, 1000):
        inputs = [min(max((32 * y + u) // (2 * u), -127), 127) for u in spreads]
        latents = np.full(len(spreads), y, np.int32)
        assert integer_net.normalize(latents, np.array(spreads)).tolist() == inputs
    for u in (*spreads, 4096, (1 << 28) - 57):
        # Just before and after an input changes, where a quotient that is rounded could be the next one's.
        changes = np.clip([(2 * k - 1) * u // 32 + d for k in range(-128, 129) for d in (-1, 0, 1)], -extreme, extreme)
        wanted = [min(max((32 * y + u) // (2 * u), -127), 127) for y in changes.tolist()]
        assert integer_net.normalize(changes[:, None], np.array([u]))[:, 0].tolist() == wanted
