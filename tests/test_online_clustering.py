"""How unused codevectors come back, and what they move to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from learning import ANCHORS, CASES, Case, clustered, one_unit, vectors_of
from torch import Tensor

from vqcodec.quantizers import Learned
from vqcodec.quantizers.cvq import contrastive_loss
from vqcodec.quantizers.layout import assignment
from vqcodec.quantizers.learning import anchors
from vqcodec.quantizers.learning.anchors import Features
from vqcodec.quantizers.learning.clustering import OnlineClustering

REVIVING = [name for name in CASES if name.startswith(("cvq", "looc", "hvq", "restart")) and name != "cvq-offline"]


def at_centers(name: str) -> Learned:
    """A quantizer with half of its codevectors at the eight centers, and the other half where no feature is."""
    quantizer = Case(replace(CASES[name].settings, K=16), CASES[name].options).make()
    units, chosen = Features(clustered(0), quantizer.d_star).sample(400), [0]
    for _ in range(7):
        chosen.append(int(torch.cdist(units, units[chosen]).amin(1).argmax()))
    with torch.no_grad():
        quantizer.codebook[:8] = units[chosen]
        quantizer.codebook[8:] = 30 + quantizer.codebook[8:] / 1000
    return quantizer


@pytest.mark.parametrize("name", REVIVING)
def test_unused_codevectors_come_back_and_used_ones_stay_where_they_are(name: str) -> None:
    quantizer, z = at_centers(name), torch.cat([clustered(seed) for seed in range(100, 120)])
    start = quantizer.codebook.detach().clone()
    assert int((quantizer.eval()(z).usage > 0).sum()) <= 9
    for step in range(0, 60, 5):
        for seed in range(step, step + 5):
            quantizer.train()(clustered(seed))
        usage = quantizer.eval()(z).usage
        if bool((usage > 0).all()):
            break
    assert bool((usage > 0).all())
    if name.endswith("ema"):  # Those that are used follow their features.
        return
    stayed = (quantizer.codebook.detach() - start).norm(dim=1)[:8] < 1e-3
    assert int(stayed.sum()) >= 7 and bool(stayed[usage[:8] > 0.25 / 16].all())


def test_offline_clustering_moves_codevectors_after_the_first_batch_only() -> None:
    quantizer = CASES["cvq-offline"].make()
    start = quantizer.codebook.detach().clone()
    quantizer(clustered(0))
    first = quantizer.codebook.detach().clone()
    assert not torch.equal(first, start)
    quantizer(clustered(1))
    assert torch.equal(quantizer.codebook, first)


def test_a_counted_usage_keeps_what_was_used_before() -> None:
    quantizer = Case(one_unit("cvq")).make()
    start = quantizer.codebook.detach().clone()
    quantizer.note_usage(torch.full((32,), 1 / 32))
    quantizer(clustered(0))
    assert torch.equal(quantizer.codebook, start)


@pytest.mark.parametrize("match", ["l2", "cosine"])
def test_the_closest_anchor_is_the_most_similar_feature(match: Any) -> None:
    z, codevectors = clustered(0), torch.randn(5, 4, generator=torch.Generator().manual_seed(5))
    chosen = anchors.build("closest", 5, 4, match).choose(codevectors, torch.arange(5), Features(z, 4))
    expected = anchors.similarity(codevectors, vectors_of(z), match).argmax(1)
    assert torch.equal(chosen, vectors_of(z)[expected])


def test_unique_anchors_do_not_repeat_and_differ_from_step_to_step() -> None:
    unique, features = anchors.build("unique", 300, 4, "l2"), Features(clustered(0), 4)
    first, second = (unique.choose(torch.zeros(300, 4), torch.arange(300), features) for _ in range(2))
    assert len(first.unique(dim=0)) == 300 and not torch.equal(first, second)


def test_probable_anchors_are_the_similar_ones_in_their_proportions() -> None:
    z = torch.tensor([0.0, 1.0]).repeat(200).reshape(1, 1, 1, 400)
    drawn = anchors.build("probrandom", 2000, 1, "l2").choose(torch.zeros(2000, 1), torch.arange(2000), Features(z, 1))
    # Weights exp(0) and exp(-1).
    assert float((drawn == 0).float().mean()) == pytest.approx(1 / (1 + 0.36788), abs=0.03)


def test_the_pool_of_random_anchors_keeps_features_of_earlier_batches() -> None:
    pooled = anchors.build("random", 10, 1, "l2")
    batches = [Features(torch.full((1, 1, 1, 4), float(value)), 1) for value in (1, 2)]
    pooled.see(batches[0])
    assert pooled.choose(torch.zeros(10, 1), torch.arange(10), batches[0]).unique().tolist() == [1.0]
    pooled.see(batches[1])
    pool = pooled.choose(torch.zeros(10, 1), torch.arange(10), batches[1])
    assert int((pool == 1).sum()) == 6 and int((pool == 2).sum()) == 4


def test_a_loaded_pool_goes_on_where_the_saved_one_was() -> None:
    pools = [anchors.build("random", 10, 4, "l2") for _ in range(2)]
    pools[0].see(Features(clustered(0)[:1, :, :1], 4))
    pools[1].load_state_dict(pools[0].state_dict())
    few = Features(clustered(1)[:1, :, :1, :3], 4)
    for pool in pools:
        pool.see(few)
    first, second = (pool.choose(torch.zeros(10, 4), torch.arange(10), few) for pool in pools)
    assert torch.equal(first, second) and len(first.unique(dim=0)) == 10


def test_features_are_all_units_at_all_places_and_a_sample_spreads_over_them() -> None:
    z = torch.arange(3 * 6 * 8 * 8, dtype=torch.float32).reshape(3, 6, 8, 8)
    features = Features(z, 2)
    expected = z.reshape(3, 3, 2, 64).transpose(2, 3).reshape(-1, 2)
    assert len(features) == len(expected) and torch.equal(features[torch.arange(len(expected))], expected)
    assert torch.equal(features.sample(10**6), expected)
    sample = features.sample(96)
    numbers = (sample[:, :1] == expected[:, 0]).nonzero()[:, 1]
    assert len(numbers.unique()) == 96
    assert len((numbers // 64).unique()) == 9 and len((numbers % 8).unique()) == 8
    assert torch.bincount(numbers // 192).tolist() == [32, 32, 32]


def test_anchors_look_at_a_limited_number_of_features(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    pick = Features.__getitem__

    def spy(features: Features, numbers: Tensor) -> Tensor:
        sizes.append(len(numbers))
        return pick(features, numbers)

    monkeypatch.setattr(Features, "__getitem__", spy)
    z = torch.randn(2, 4, 80, 80)
    for anchor in ANCHORS:
        clustering = OnlineClustering(16, 4, anchor=anchor)  # type: ignore[arg-type]
        clustering.update(torch.nn.Parameter(torch.randn(16, 4)), torch.eye(16)[0], Features(z, 4))
    assert sizes == [anchors.LIMIT, 16, anchors.LIMIT, anchors.LIMIT]


# The contrastive loss


def test_the_contrastive_loss_is_a_cross_entropy_by_hand() -> None:
    similarities = torch.tensor([[0.1, 0.9, 0.2, 0.5, 0.7, 0.3], [0.0, 0.1, 0.2, 0.3, 0.4, 0.8]], dtype=torch.float64)
    losses = []
    for positive, negatives in ((0.7, [0.1, 0.2, 0.3]), (0.5, [0.0, 0.1, 0.2])):
        exponents = torch.tensor([positive, *negatives], dtype=torch.float64) / 0.07
        losses.append(exponents.logsumexp(0) - exponents[0])
    assert torch.allclose(contrastive_loss(similarities), torch.stack(losses).mean())


@pytest.mark.parametrize("match", ["l2", "cosine"])
def test_the_contrastive_loss_adds_its_weight_moves_the_codebook_alone_and_keeps_to_the_budget(
    match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assignment, "BUDGET_VALUES", 32 * 100)
    shapes = []
    similarity = anchors.similarity

    def spy(codevectors: Tensor, features: Tensor, match: Any) -> Tensor:
        shapes.append((len(codevectors), len(features)))
        return similarity(codevectors, features, match)

    monkeypatch.setattr(anchors, "similarity", spy)
    z, losses, gradients_of_z = (clustered(0) / 10).requires_grad_(), {}, {}
    for weight in (0.0, 0.5, 1.0):
        quantizer = Case(one_unit("cvq", match=match), {"contrastive": weight}).make()
        loss = quantizer.loss(z, quantizer.decode(quantizer.encode(z)))
        gradients_of_z[weight] = torch.autograd.grad(loss, z)[0]
        losses[weight] = float(loss.detach())
    assert shapes == [(32, 100)] * 2
    assert losses[1.0] > losses[0.0]
    assert losses[1.0] + losses[0.0] == pytest.approx(2 * losses[0.5], rel=1e-5)
    assert torch.equal(gradients_of_z[0.0], gradients_of_z[1.0])
