"""What makes the baselines of the papers' tables different: HVQ-VAE, Reg-VQ, VQ-WAE and VQCT."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from learning import clustered, one_unit, train, vectors_of
from torch import Tensor

from vqcodec import quantizers
from vqcodec.errors import InputError, SettingsError
from vqcodec.quantizers.learning import words
from vqcodec.quantizers.learning.noise import gumbel
from vqcodec.quantizers.learning.transport import plan, wasserstein
from vqcodec.quantizers.regvq import divergence_from_uniform
from vqcodec.training.papers.loop import Autoencoder
from vqcodec.training.papers.settings import AutoencoderSettings
from vqcodec.training.provenance import facts


def make(name: str, K: int = 12, **options: Any) -> Any:
    torch.manual_seed(0)
    return quantizers.build(one_unit(name, K=K), options).train()


def distances(z: Tensor, codebook: Tensor) -> Tensor:
    return (vectors_of(z)[:, None] - codebook).square().sum(2)


# HVQ-VAE


def test_the_loss_of_hqa_is_the_papers_divergence_and_expected_distance() -> None:
    quantizer, z = make("hqa", weight=0.5), clustered(0)
    away = distances(z, quantizer.codebook.detach())
    posterior = (-away).softmax(1)
    divergence = (posterior * (posterior * 12 + 1e-30).log()).sum(1)
    expected = 0.5 * (divergence + (posterior * away).sum(1)).mean()
    assert float(quantizer(z).loss.detach()) == pytest.approx(float(expected), rel=1e-4)


def test_hqa_hands_on_relaxed_samples_whose_temperature_falls_along_a_line() -> None:
    quantizer, z = make("hqa", start=0.7, end=0.1), clustered(0)
    for fraction, temperature in ((0.0, 0.7), (0.25, 0.55), (1.0, 0.1)):
        quantizer.advance(fraction)
        assert float(quantizer.temperature) == pytest.approx(temperature)
    quantizer.advance(0.25)
    logits = -distances(z, quantizer.codebook.detach())
    weights = ((logits + gumbel(*logits.shape, quantizer.noise.seed(), z.device)) / 0.55).softmax(1)
    assert torch.allclose(vectors_of(quantizer(z).z_q.detach()), weights @ quantizer.codebook.detach(), atol=1e-4)


def test_hqa_moves_the_least_used_codevector_alone_and_only_if_it_is_of_little_use() -> None:
    quantizer = make("hqa", K=4, interval=2, noise=0.05)
    with torch.no_grad():
        quantizer.codebook.copy_(10 * torch.eye(4))
        quantizer.codebook[2:] += 90
    start = quantizer.codebook.detach().clone()
    first, second = (10 * torch.eye(4)[i].view(1, 4, 1, 1) for i in (0, 1))
    z = torch.cat([first, first, second])
    for _ in range(2):
        quantizer(z)
    assert torch.equal(quantizer.codebook, start)
    quantizer(z)
    moved = (quantizer.codebook != start).any(1)
    assert moved.tolist() == [False, False, True, False]
    assert 0 < float((quantizer.codebook[2] - start[0]).detach().norm()) < 0.5
    even = make("hqa", K=2, interval=1)
    with torch.no_grad():
        even.codebook.copy_(10 * torch.eye(4)[:2])
    start = even.codebook.detach().clone()
    for _ in range(3):
        even(z)
    assert torch.equal(even.codebook, start)


# Reg-VQ


def test_the_prior_is_the_divergence_of_the_mean_posterior() -> None:
    logits = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    mean = logits.softmax(1).mean(0)
    assert float(divergence_from_uniform(logits)) == pytest.approx(float((mean * (5 * mean).log()).sum()), abs=1e-6)
    assert float(divergence_from_uniform(torch.zeros(7, 5))) == pytest.approx(0.0, abs=1e-6)
    assert float(divergence_from_uniform(90 * torch.eye(5))) == pytest.approx(0.0, abs=1e-6), "each sure, all even"
    assert float(divergence_from_uniform(90 * torch.eye(5)[:1])) == pytest.approx(math.log(5), abs=1e-6)
    quantizer, z = make("regvq", prior=0.7, sharpness=0.3), clustered(0)
    codebook = quantizer.codebook.detach()
    error = F.mse_loss(codebook[distances(z, codebook).argmin(1)], vectors_of(z))
    expected = 1.25 * error + 0.7 * divergence_from_uniform(-0.3 * distances(z, codebook))
    assert float(quantizer(z).loss.detach()) == pytest.approx(float(expected), rel=1e-4)


def test_the_prior_brings_codevectors_into_use() -> None:
    usages = {}
    for prior in (0.0, 1.0):
        quantizer = make("regvq", K=16, prior=prior, mask=0.0)
        with torch.no_grad():
            quantizer.codebook.add_(2.0)
        train(quantizer, range(60))
        usages[prior] = int((quantizer.eval()(clustered(99)).usage > 0).sum())
    assert usages[1.0] > 2 * usages[0.0]


def test_the_mask_says_at_how_many_places_a_codevector_is_drawn() -> None:
    z = clustered(0).requires_grad_()
    nearest = make("regvq").eval()(z)
    for mask, least, most in ((0.0, 0.0, 0.0), (0.4, 0.3, 0.5), (1.0, 0.97, 1.0)):
        quantizer = make("regvq", mask=mask, sharpness=0.01, temperature=0.3)
        drawn = quantizer(z)
        assert torch.equal(drawn.indices, nearest.indices), "a file has the nearest ones"
        assert float(torch.cdist(vectors_of(drawn.z_q.detach()), quantizer.codebook.detach()).amin(1).max()) < 1e-3
        others = (drawn.z_q != nearest.z_q).any(1).float().mean()
        assert least <= float(others) / (11 / 12) <= most * 1.1
        (gradient,) = torch.autograd.grad(drawn.z_q.sum(), quantizer.codebook, allow_unused=True)
        assert (gradient is not None) == (mask > 0), "what was drawn teaches the codebook by what follows"


# VQ-WAE


def test_a_plan_gives_every_codevector_its_share_and_is_the_best_of_all() -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(6, 3, generator=generator), torch.randn(6, 3, generator=generator)
    costs = torch.cdist(x, y).square()
    found = plan(costs, 0.1, 500)
    assert torch.allclose(found.sum(0), torch.full((6,), 1 / 6)) and torch.allclose(
        found.sum(1), found.sum(0), atol=2e-3
    )
    rows = torch.arange(6)
    best = min(float(costs[rows, list(order)].mean()) for order in itertools.permutations(range(6)))
    assert float((found * costs).sum()) == pytest.approx(best, rel=0.02)
    far = plan(torch.tensor([[1.0, 1e9], [1.0, 1e9]]), 0.1, 20)
    assert torch.allclose(far.sum(0), torch.tensor([0.5, 0.5])), "also what nothing is near to"


def test_the_distance_has_the_slopes_of_the_cost_under_the_plan() -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(n, 3, generator=generator).double().requires_grad_() for n in (5, 4))
    to_x, to_y = torch.autograd.grad(wasserstein(x, y, 0.1, 100), (x, y))
    shares = plan(torch.cdist(x, y).square().detach(), 0.1, 100)
    assert torch.allclose(to_x, 2 * (shares.sum(1, keepdim=True) * x - shares @ y), atol=1e-6)
    assert torch.allclose(to_y, 2 * (shares.sum(0)[:, None] * y - shares.t() @ x), atol=1e-6)


def test_transport_brings_back_codevectors_that_vq_leaves_behind() -> None:
    used = {}
    for name in ("vq", "vqwae"):
        quantizer = make(name, K=16)
        with torch.no_grad():
            quantizer.codebook[1:] += 30
        optimizer = torch.optim.SGD([quantizer.codebook], lr=8.0)
        for seed in range(200):
            optimizer.zero_grad()
            quantizer(clustered(seed)).loss.backward()
            optimizer.step()
        used[name] = int((quantizer.eval()(clustered(999)).usage > 0).sum())
    assert used["vq"] == 1 and used["vqwae"] >= 14


# VQCT


def test_the_table_stays_and_one_step_of_the_map_moves_all_codevectors() -> None:
    quantizer = make("vqct")
    table, before = quantizer.table.clone(), quantizer.codevectors().detach()
    assert "table" in dict(quantizer.named_buffers()) and "table" not in dict(quantizer.named_parameters())
    indices = torch.zeros(1, 1, 1, 1, dtype=torch.int64)
    optimizer = torch.optim.SGD(quantizer.parameters(), lr=0.1)
    quantizer(torch.randn(1, 4, 1, 1), indices).loss.backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in quantizer.parameters())
    optimizer.step()
    assert torch.equal(quantizer.table, table)
    assert bool((quantizer.codevectors() != before).any(1).all())


def test_codevectors_begin_with_the_mean_and_deviation_of_the_latents() -> None:
    quantizer, z = make("vqct", K=64), clustered(0) * torch.tensor([1.0, 2, 3, 4]).view(4, 1, 1) + 5
    quantizer.begin(z, torch.Generator())
    vectors = quantizer.codevectors().detach()
    assert torch.allclose(vectors.mean(0), z.mean((0, 2, 3)), atol=1e-3)
    assert torch.allclose(vectors.std(0), z.std((0, 2, 3)), rtol=1e-3)


def test_words_that_are_alike_are_averaged() -> None:
    table = torch.eye(4)[[0, 0, 1, 2]] + torch.tensor([[0.0], [0.1], [0], [0]]) * torch.eye(4)[3]
    near = words.most_alike(table, 2, budget=1)
    assert near[:2].tolist() == [[0, 1], [1, 0]] and near[2:, 0].tolist() == [2, 3]
    assert torch.equal(near, words.most_alike(table, 2, budget=10**6))
    assert words.most_alike(torch.ones(3, 2), 1, budget=100).flatten().tolist() == [0, 1, 2]


@pytest.mark.parametrize("form", ["npy", "glove", "word2vec"])
def test_a_table_is_read_from_a_file_and_a_resumed_run_keeps_it(form: str, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(3, 2, (20, 5)).astype(np.float32)
    path = tmp_path / ("table.npy" if form == "npy" else "table.txt")
    if form == "npy":
        np.save(path, vectors)
    else:
        lines = [f"w{i} {' '.join(map(repr, map(float, row)))}" for i, row in enumerate(vectors)]
        path.write_text("\n".join(([f"{len(vectors)} 5"] if form == "word2vec" else []) + lines), encoding="utf-8")
    found = words.read(str(path), 12)
    centered = vectors[:12] - vectors[:12].mean(0)
    np.testing.assert_allclose(found.numpy(), centered / centered.std(ddof=1), rtol=1e-4, atol=1e-5)
    quantizer = make("vqct", table=str(path), neighbors=0)
    assert torch.equal(quantizer.table, found)
    other = make("vqct", width=5, seed=3, neighbors=0)
    other.load_state_dict(quantizer.state_dict())
    assert torch.equal(other.codevectors(), quantizer.codevectors())


def test_a_model_does_not_say_in_whose_folder_the_table_was(tmp_path: Path) -> None:
    np.save(tmp_path / "glove.npy", np.eye(8, dtype=np.float32))
    options = {"table": str(tmp_path / "glove.npy"), "neighbors": 1}
    state = Autoencoder(AutoencoderSettings(quantizer="vqct", K=8, d=4, options=options), torch.device("cpu"))
    assert facts(state)["settings"]["options"] == {"table": "glove.npy", "neighbors": 1}


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, InputError, "table of vectors .* cannot be read: .*No such file"),
        ("a 1 2\nb 3\n", SettingsError, "has 1 vectors, fewer than K=12"),
        ("a 1 2\nb 3 4 5\n", InputError, "cannot be read"),
        ("a 1 x\n" * 12, InputError, "cannot be read"),
        ("a 1 nan\n" * 12, InputError, "infinite or no numbers"),
    ],
)
def test_a_table_that_is_none_is_refused_in_a_sentence(
    content: str | None, error: type[Exception], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "table.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(error, match=message) as raised:
        make("vqct", table=str(path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hqa", {"interval": 0}, "interval .* choose 1 or more"),
        ("hqa", {"least": 2.0}, "least .* choose 0 to 1"),
        ("hqa", {"weight": 0.0}, "weight .* above 0"),
        ("hqa", {"end": 0.0}, "choose 0 < end <= start"),
        ("regvq", {"mask": 1.5}, "mask .* choose 0 to 1"),
        ("regvq", {"prior": -1.0}, "prior .* choose 0 or more"),
        ("regvq", {"sharpness": 0.0}, "sharpness .* above 0"),
        ("vqwae", {"rounds": 0}, "rounds .* choose 1 or more"),
        ("vqwae", {"epsilon": 0.0}, "epsilon .* above 0"),
        ("vqct", {"hidden": 0}, "hidden .* choose 1 or more"),
        ("vqct", {"neighbors": 12}, "neighbors .* choose less than K"),
    ],
)
def test_options_that_make_no_sense_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make(name, **options)
