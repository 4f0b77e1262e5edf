"""The choice of indices under tables: as good as trying everything that it may choose among."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_priors import PLANS, latents, prior
from torch import Tensor

from vqcodec.encoder import ContextEncoder, by_table
from vqcodec.encoder.by_table import IndexCosts, TableAssigner, UnitChoice
from vqcodec.training.rate.pair_tables import WIDE_CLASS, hexagonal_codebook, logistic_tables

WEIGHTS = (0.0, 0.15, 3.0)


class Case(NamedTuple):
    """An assigner, units [N, 2] and their classes [N, 2]."""

    assigner: TableAssigner
    x: Tensor
    classes: Tensor


def make_case(seed: int, K: int = 20, S: int = 5, count: int = 300, wide: float = 0.4) -> Case:
    """Random tables, maps and units; the zero codevector is somewhere among the others."""
    random = torch.Generator().manual_seed(seed)
    codebook = torch.randn(K, 2, generator=random)
    codebook *= 1 + 0.8 / codebook.norm(dim=1, keepdim=True)
    codebook[seed % K] = 0
    T = 6
    shares = torch.rand(T, K, generator=random).pow(4) + 1e-6
    shares[:, seed % K] += K * torch.rand(T, generator=random)
    fine = torch.randint(T, (S, S, 2), generator=random)
    coarse = torch.randint(T, (S, S), generator=random)
    coarse[torch.rand(S, S, generator=random) > wide] = -1
    tables = IndexCosts(-torch.log2(shares / shares.sum(1, keepdim=True)), fine, coarse)
    scale = 2.0 + 6.0 * torch.rand(1, generator=random).item()
    x = torch.randn(count, 2, generator=random) * torch.logspace(-1.5, 1, count)[:, None]
    return Case(TableAssigner(codebook, scale, tables, torch), x, torch.randint(S, (count, 2), generator=random))


def candidates(case: Case, unit: int) -> list[int]:
    """The coarse indices that are considered for a unit: zero, and where it takes one the nearest to x / scale."""
    assigner = case.assigner
    i, j = case.classes[unit].tolist()
    if assigner.tables.coarse[i, j] < 0:
        return [assigner.zero]
    distance = (case.x[unit].double() / assigner.scale - assigner.codebook.double()).square().sum(1)
    return [assigner.zero, int(distance.argmin())]


def cost(case: Case, unit: int, coarse: int, weight: float) -> tuple[Tensor, Tensor]:
    """Cost and bits [K] of all fine indices of a unit beside a coarse one, in float64, from the definition."""
    assigner, tables = case.assigner, case.assigner.tables
    i, j = case.classes[unit].tolist()
    bits = tables.costs[tables.fine[i, j, int(coarse != assigner.zero)]].double()
    if tables.coarse[i, j] >= 0:
        bits = bits + tables.costs[tables.coarse[i, j], coarse]
    vectors = assigner.scale * assigner.codebook[coarse].double() + assigner.codebook.double()
    return (case.x[unit].double() - vectors).square().sum(1) + weight * bits, bits


def check(case: Case, weight: float) -> UnitChoice:
    """What was assigned costs as little as the best of all candidates, and its bits are told right."""
    found = case.assigner.assign(case.x, case.classes, weight)
    for unit in range(len(case.x)):
        allowed = candidates(case, unit)
        least = min(float(cost(case, unit, coarse, weight)[0].min()) for coarse in allowed)
        coarse, fine = int(found.coarse[unit]), int(found.fine[unit])
        assert coarse in allowed
        costs, bits = cost(case, unit, coarse, weight)
        assert float(costs[fine]) == pytest.approx(least, rel=1e-4, abs=1e-4)
        assert float(found.bits[unit]) == pytest.approx(float(bits[fine]), rel=1e-5, abs=1e-5)
    return found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(WEIGHTS), st.sampled_from([0.0, 0.4, 1.0]), st.integers(2, 30))
def test_assigned_is_the_best_of_all_that_is_considered(seed: int, weight: float, wide: float, K: int) -> None:
    check(make_case(seed, K=K, count=40, wide=wide), weight)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_all_kinds_of_choice_occur(weight: float) -> None:
    case = make_case(3)
    found = check(case, weight)
    wide = case.assigner.tables.coarse[case.classes[:, 0], case.classes[:, 1]] >= 0
    far = found.coarse != case.assigner.zero
    assert 0.2 < wide.float().mean() < 0.8 and 0.03 < far.float().mean() < 0.8
    assert not far[~wide].any()
    assert (found.fine[~wide] == case.assigner.zero).any() and (found.fine[~wide] != case.assigner.zero).any()


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("seed", range(20))
def test_the_shortcut_for_what_is_surely_zero_changes_nothing(
    seed: int, weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case(seed, K=10 + 3 * seed, count=4000, wide=0.1)
    quick = case.assigner.assign(case.x, case.classes, weight)
    asked: list[Tensor] = []

    def never(self: TableAssigner, x: Tensor, table: Tensor, weight: float) -> Tensor:
        asked.append(shortcut(self, x, table, weight))
        return torch.zeros(len(x), dtype=torch.bool)

    shortcut = TableAssigner._surely_zero
    monkeypatch.setattr(TableAssigner, "_surely_zero", never)
    slow = case.assigner.assign(case.x, case.classes, weight)
    assert 0.05 < asked[0].float().mean() < 0.95
    for one, other in zip(quick, slow, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_nothing_is_surely_zero_where_another_codevector_is_zero_too() -> None:
    case = make_case(1)
    codebook = case.assigner.codebook.clone()
    codebook[[4, 9]] = 0
    twice = TableAssigner(codebook, case.assigner.scale, case.assigner.tables, torch)
    assert twice.zero == 1
    check(Case(twice, case.x[:100], case.classes[:100]), 0.15)


def test_weight_0_gives_the_nearest_codevectors() -> None:
    case = make_case(7, wide=0.0)
    found = case.assigner.assign(case.x, case.classes, 0.0)
    nearest = torch.cdist(case.x.double(), case.assigner.codebook.double()).argmin(1)
    assert torch.equal(found.fine, nearest)
    assert (found.coarse == case.assigner.zero).all()
    vectors = case.assigner.decode(found)
    assert torch.equal(vectors, case.assigner.codebook[nearest])


def test_more_weight_means_fewer_bits_and_more_error() -> None:
    case = make_case(5, count=2000)
    bits, errors = [], []
    for weight in (0.0, 0.05, 0.15, 0.5, 2.0):
        found = case.assigner.assign(case.x, case.classes, weight)
        bits.append(float(found.bits.sum()))
        errors.append(float((case.x - case.assigner.decode(found)).square().sum()))
    assert bits == sorted(bits, reverse=True) and errors == sorted(errors)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(2, count=500)
    whole = case.assigner.assign(case.x, case.classes, 0.15)
    monkeypatch.setattr(by_table, "_BLOCK", 7)
    for one, other in zip(whole, case.assigner.assign(case.x, case.classes, 0.15), strict=True):
        torch.testing.assert_close(one, other)


def test_no_units_are_no_indices() -> None:
    case = make_case(0)
    found = case.assigner.assign(case.x[:0], case.classes[:0], 0.15)
    assert [len(part) for part in found] == [0, 0, 0]


@pytest.mark.parametrize("name", PLANS)
def test_the_assigner_of_a_prior_has_its_tables(name: str) -> None:
    """The bits that the encoder counts are those that the prior counts for the same indices and classes."""
    made, assigner = prior(name), ContextEncoder(prior(name)).assigner
    assert assigner.zero == made.zero
    x = latents(2, (10, 12), seed=1).reshape(2, -1).T
    classes = np.random.default_rng(2).integers(made.deviation_classes, size=x.shape)
    found = assigner.assign(x, classes, 0.15)
    coarse_tables, wide = made.coarse_tables(classes)
    fine_tables = made.fine_tables(classes, found.coarse)
    bits = made.tables.costs[fine_tables, found.fine]
    bits[wide] += made.tables.costs[coarse_tables, found.coarse[wide]]
    np.testing.assert_allclose(found.bits, bits, rtol=1e-6)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_arrays_of_numpy_give_what_tensors_give(weight: float) -> None:
    case = make_case(11, count=4000)
    tables = IndexCosts(*(table.numpy() for table in case.assigner.tables))
    assigner = TableAssigner(case.assigner.codebook.numpy(), case.assigner.scale, tables)
    found = assigner.assign(case.x.numpy(), case.classes.numpy(), weight)
    for one, other in zip(case.assigner.assign(case.x, case.classes, weight), found, strict=True):
        np.testing.assert_array_equal(one.numpy(), other)
    vectors = case.assigner.decode(UnitChoice(*map(torch.from_numpy, found)))
    np.testing.assert_array_equal(assigner.decode(found), vectors)


def test_what_the_prior_did_not_expect_is_written_all_the_same_and_costs_the_others_next_to_nothing() -> None:
    codebook = hexagonal_codebook(256, 1.35)
    tables = logistic_tables(codebook, 14.0)
    assigner = tables.assigner(codebook, 14.0)
    x = torch.tensor([[100.0, 0.0], [-40.0, 90.0], [0.1, 0.0]])
    assigned = assigner.assign(x, torch.tensor([[WIDE_CLASS, 0], [0, WIDE_CLASS], [WIDE_CLASS, 0]]), 0.15)
    assert (assigner.decode(assigned) - x).norm(dim=1).max() < 1.0
    frequencies = tables.arrays(20)["tables"]
    coarse = frequencies[tables.coarse[WIDE_CLASS, 0]]
    assert -math.log2(coarse[assigner.zero] / (1 << 20)) < 1e-3 and coarse.min() >= 1
