"""The encoder under a context prior: each index is the best that its pass allows, by what bits of its group count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from random_priors import latents, prior

from vqcodec.encoder import ContextEncoder
from vqcodec.encoder.context import shares_of_rate
from vqcodec.exact.priors import ContextPrior
from vqcodec.exact.priors.walk import Pass, by_place

WEIGHT = 0.3
QUALITY = 90.0


def test_a_bit_counts_less_in_the_first_groups() -> None:
    shares = shares_of_rate(30)
    assert shares[0] == 0.5 and shares == sorted(shares) and shares[-1] == pytest.approx(1.5)
    assert shares_of_rate(1) == [1.0] and 0.5 < shares_of_rate(2)[0] < 1.0


def dearer_by(found: ContextPrior, step: Pass, near: Any, residual: Any, chosen: Any, weight: float) -> float:
    """How much more than the best fine index the chosen ones cost at most, for units without a coarse index."""
    coarse, fine = chosen
    plain = coarse == found.zero
    codebook = found.codebook.astype(np.float64) / found.codes_per_step
    numbers = found.fine_tables(near, coarse)[plain]
    error = np.square(residual.reshape(-1, 1, 2)[plain] - codebook[None]).sum(2)
    costs = error + weight * found.tables.costs[numbers]
    # A unit beyond the codebook may have taken a coarse index that is zero by chance; its fine one is the best too.
    return float((np.take_along_axis(costs, fine[plain, None].astype(int), 1)[:, 0] - costs.min(1)).max(initial=0))


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("name", ["three_groups", "wide_layers"])
def test_an_index_is_the_least_of_error_and_the_bits_of_its_group(name: str, alike: bool) -> None:
    found = prior(name)
    z = latents(found.d, (6, 7), 2)
    encoder = ContextEncoder(found)
    choice = encoder.seek(z, QUALITY, WEIGHT).choice if alike else encoder.choose(z, QUALITY, WEIGHT)
    flat, indices = by_place(z), by_place(choice.indices)
    walk, shares = found.walk((6, 7), QUALITY), shares_of_rate(len(found.groups))
    if alike:
        shares = [1.0] * len(shares)
    otherwise = []
    for step in walk.steps():
        prediction = walk.predict(step)
        chosen = found._of_pass(indices, step)
        residual = flat[step.places, step.channels] - prediction.mean / found.codes_per_step
        seen = found, step, prediction.deviation_class, residual, chosen
        assert dearer_by(*seen, WEIGHT * shares[step.group]) < 1e-3
        otherwise.append(dearer_by(*seen, 3 * WEIGHT))
        walk.put(step, prediction, *chosen)
    assert max(otherwise) > 0.01  # so the weight is seen
