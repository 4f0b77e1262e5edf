"""How the quantizers that learn a codebook learn it: losses, moving averages, resets, resuming."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from learning import CASES, Case, clustered, one_unit, train, vectors_of
from torch import Tensor

from vqcodec import quantizers
from vqcodec.errors import SettingsError
from vqcodec.quantizers import QuantizerSettings, settings_of
from vqcodec.quantizers.learning import gradients
from vqcodec.quantizers.learning.averages import DECAY
from vqcodec.quantizers.learning.gradients import COMMITMENT


@pytest.mark.parametrize("name", CASES)
def test_a_loaded_state_goes_on_exactly_like_the_run_that_saved_it(name: str) -> None:
    quantizer, other = CASES[name].make(), CASES[name].make(seed=1)
    train(quantizer, range(4))
    other.load_state_dict(copy.deepcopy(quantizer.state_dict()))
    for run in (quantizer, other):
        train(run, range(4, 7))
    for key, value in quantizer.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key
    z = clustered(50)
    assert torch.equal(quantizer(z).loss, other(z).loss)


@pytest.mark.parametrize("name", CASES)
def test_training_hands_on_the_codevectors_with_the_gradient_passed_straight_through(name: str) -> None:
    quantizer = CASES[name].make()
    z = clustered(0).requires_grad_()
    quantized = quantizer(z)
    quantized.z_q.sum().backward()
    assert torch.equal(z.grad, torch.ones_like(z))  # type: ignore[arg-type]
    same = CASES[name].make()
    assert torch.equal(same.decode(quantized.indices), quantized.z_q)


@pytest.mark.parametrize("name", CASES)
def test_the_loss_reaches_the_codebook_unless_moving_averages_do(name: str) -> None:
    quantizer = CASES[name].make()
    before = quantizer.codebook.detach().clone()
    z = clustered(0).requires_grad_()
    quantizer(z).loss.backward()
    assert float(z.grad.abs().sum()) > 0  # type: ignore[union-attr]
    if name.endswith("ema"):
        assert quantizer.codebook.grad is None and not torch.equal(quantizer.codebook, before)
    else:
        assert float(quantizer.codebook.grad.abs().sum()) > 0  # type: ignore[union-attr]


@pytest.mark.parametrize("name", CASES)
def test_error_falls_while_training(name: str) -> None:
    quantizer, z = CASES[name].make(), clustered(50)
    target = F.normalize(z, dim=1) if "unit" in name else z
    before = F.mse_loss(quantizer.eval()(z).z_q, target)
    train(quantizer.train(), range(20))
    assert F.mse_loss(quantizer.eval()(z).z_q, target) < 0.7 * before


# Gradients


def test_the_losses_equal_their_formulas_in_value_and_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(3, 4, 5, 6, dtype=torch.float64, generator=generator).requires_grad_()
    codebook = torch.randn(7, 4, dtype=torch.float64, generator=generator).requires_grad_()
    indices = torch.randint(7, (3, 3, 5, 6), generator=generator)
    sums = codebook[indices].cumsum(1).movedim(-1, 2)

    def formula(z_q: Tensor) -> Tensor:
        return F.mse_loss(z_q, z.detach()) + 0.3 * F.mse_loss(z, z_q.detach())

    pairs = (
        (gradients.codebook_loss(z, sums[:, 0], 0.3), formula(sums[:, 0])),
        (
            gradients.residual_loss(z, codebook, indices, 0.3),
            torch.stack([formula(sums[:, stage]) for stage in range(3)]).mean(),
        ),
    )
    for loss, expected in pairs:
        assert torch.allclose(loss, expected, rtol=1e-12)
        ours = torch.autograd.grad(2 * loss, (z, codebook), retain_graph=True)
        theirs = torch.autograd.grad(2 * expected, (z, codebook), retain_graph=True)
        for one, other in zip(ours, theirs, strict=True):
            assert torch.allclose(one, other, rtol=1e-10, atol=1e-14)


def test_sums_and_losses_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    z = torch.randn(5, 4, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    indices = torch.randint(7, (5, 2, 6, 6), generator=torch.Generator().manual_seed(1))
    codebook = torch.randn(7, 4, dtype=torch.float64)
    one_hot = F.one_hot(indices[:, :1].flatten(), 7).double()
    whole = gradients.residual_loss(z, codebook, indices, 0.25)
    monkeypatch.setattr(gradients, "_CHUNK_VALUES", 2 * 4 * 36)
    assert torch.allclose(gradients.vector_sums(z, indices[:, :1], 7, 4), one_hot.t() @ vectors_of(z))
    assert torch.allclose(gradients.residual_loss(z, codebook, indices, 0.25), whole, rtol=1e-12)


# VQ


def test_moving_averages_are_those_of_the_paper() -> None:
    """Appendix A.1 with counts and sums kept apart: e = m / N, both forgetting at the same rate."""
    quantizer = Case(one_unit("vq", K=6), {"learn": "ema"}).make()
    with torch.no_grad():
        quantizer.codebook[4:] += 30
    counts, sums = torch.ones(6), quantizer.codebook.detach().clone()
    for seed in range(30):
        z = clustered(seed)
        one_hot = F.one_hot(quantizer.encode(z).flatten(), 6).float()
        counts = DECAY * counts + (1 - DECAY) * one_hot.sum(0)
        sums = DECAY * sums + (1 - DECAY) * one_hot.t() @ vectors_of(z)
        quantizer(z)
        smooth = (counts + 1e-5) / (counts.sum() + 6e-5) * counts.sum()
        assert torch.allclose(quantizer.codebook, sums / smooth[:, None], rtol=1e-3, atol=1e-4)
    assert (counts < 0.9).tolist() == [False] * 4 + [True] * 2


@pytest.mark.parametrize("name", ["looc", "pq"])
def test_moving_averages_of_units_are_those_of_whole_vectors_that_are_the_units(name: str) -> None:
    options = {"learn": "ema"} | ({"online_clustering": "off"} if name == "looc" else {})
    quantizer = Case(settings_of(name, K=8, m=2, d_star=2), options).make()
    books = quantizer.codebook.detach().clone().reshape(-1, 8, 2)
    parts = [Case(QuantizerSettings("vq", K=8, m=1, d_star=2), {"learn": "ema"}).make() for _ in books]
    for part, book in zip(parts, books, strict=True):
        part.load_state_dict(part.state_dict() | {"codebook": book})
    for seed in range(5):
        z = clustered(seed)
        quantizer(z)
        units = [z.reshape(-1, 2, 12, 12)] if name == "looc" else [z[:, :2], z[:, 2:]]
        for part, unit in zip(parts, units, strict=True):
            part(unit)
    expected = torch.stack([part.codebook for part in parts]).reshape(quantizer.codebook.shape)
    torch.testing.assert_close(quantizer.codebook, expected, rtol=1e-4, atol=1e-5)


def test_what_nothing_chooses_becomes_zero_and_no_denormal_number() -> None:
    quantizer = Case(one_unit("vq", K=4), {"learn": "ema"}).make()
    assert quantizer.averages is not None
    with torch.no_grad():
        quantizer.codebook[3] = 1e-20
        quantizer.averages.counts[3] = 1e-29
    seen = set()
    one, index = torch.ones(1, 4, 1, 1), torch.zeros(1, 1, 1, 1, dtype=torch.int64)
    for _ in range(3000):
        quantizer.averages.update(quantizer.codebook, one, index)
        seen |= {float(quantizer.codebook.detach()[3].abs().max()), float(quantizer.averages.counts[3])}
    assert 0.0 in seen and min(seen - {0.0}) >= 1e-30
    assert not quantizer.codebook[3].any() and quantizer.codebook.isfinite().all()


def test_moving_averages_are_not_for_indices_that_add_up() -> None:
    with pytest.raises(SettingsError, match="learn='ema' does not fit depth=2"):
        Case(QuantizerSettings("looc", K=8, m=2, d_star=2, depth=2, wide=1), {"learn": "ema"}).make()


def test_moving_averages_go_on_from_a_codebook_and_usage_counted_elsewhere() -> None:
    quantizer = Case(one_unit("vq", K=4), {"learn": "ema"}).make()
    train(quantizer, range(3))
    total = float(quantizer.averages.counts.sum())  # type: ignore[union-attr]
    with torch.no_grad():
        quantizer.codebook.copy_(10 * torch.eye(4))
    quantizer.note_usage(torch.tensor([0.5, 0.25, 0.25, 0.0]))
    assert quantizer.averages.counts.tolist() == pytest.approx([total / 2, total / 4, total / 4, 0.0])  # type: ignore[union-attr]
    z = 10 * torch.eye(4)[:3].t().reshape(1, 4, 1, 3)
    quantizer(z)
    # What nothing chooses has no weight of its own and falls towards zero.
    expected = 10 * torch.diag(torch.tensor([1.0, 1.0, 1.0, DECAY]))
    assert torch.allclose(quantizer.codebook, expected, rtol=1e-4, atol=1e-3)


def test_unit_codes_have_length_one_and_are_found_by_direction() -> None:
    quantizer = CASES["vq-unit"].make().requires_grad_(False)
    z = clustered(0)
    quantized = quantizer(z)
    assert torch.allclose(quantized.z_q.norm(dim=1), torch.ones(4, 12, 12))
    similar = F.normalize(vectors_of(z), dim=1) @ F.normalize(quantizer.codebook, dim=1).t()
    assert torch.equal(quantized.indices.flatten(), similar.argmax(1))
    longer = quantizer(3 * z)
    assert torch.equal(longer.indices, quantized.indices) and torch.allclose(longer.loss, quantized.loss)
    assert quantized.loss == pytest.approx(float((1 + COMMITMENT) * F.mse_loss(F.normalize(z, dim=1), quantized.z_q)))


# PQ and RQ


def test_each_unit_of_pq_is_coded_and_learns_by_its_own_codebook() -> None:
    quantizer = CASES["pq"].make()
    z = clustered(0)
    quantized = quantizer(z)
    for unit in range(2):
        distances = torch.cdist(vectors_of(z[:, 2 * unit : 2 * unit + 2]), quantizer.codebook[unit])
        assert torch.equal(quantized.indices[:, unit].flatten(), distances.argmin(1))
    assert not torch.equal(quantizer.codebook[0], quantizer.codebook[1])
    error = F.mse_loss(quantizer.decode(quantized.indices)[:, :2], z[:, :2])
    (gradient,) = torch.autograd.grad(error, quantizer.codebook)
    assert float(gradient[0].abs().sum()) > 0 and float(gradient[1].abs().sum()) == 0


@pytest.mark.parametrize("match", ["l2", "cosine"])
def test_each_stage_of_rq_takes_what_the_earlier_ones_left(match: str) -> None:
    quantizer = Case(one_unit("rq", depth=3, match=match)).make()
    with torch.no_grad():
        quantizer.codebook.normal_()
    z = clustered(0)
    quantized = quantizer(z)
    rest, codebook = vectors_of(z), quantizer.codebook.detach()
    for stage in range(3):
        index = quantized.indices[:, stage].flatten()
        similar = -torch.cdist(rest, codebook) if match == "l2" else rest @ F.normalize(codebook, dim=1).t()
        assert torch.equal(index, similar.argmax(1))
        rest = rest - codebook[index]
    assert torch.allclose(vectors_of(z - quantized.z_q), rest, atol=1e-5)


# Codebook reset


def test_a_reset_moves_what_nothing_chose_next_to_the_most_used_codevector() -> None:
    quantizer = Case(one_unit("hvq"), {"interval": 3, "noise": 0.05}).make()
    with torch.no_grad():
        quantizer.codebook[4:] += 30
    start, usage = quantizer.codebook.detach().clone(), torch.zeros(32)
    for seed in range(2):
        usage += quantizer(clustered(seed)).usage
        assert torch.equal(quantizer.codebook, start)
    usage += quantizer(clustered(2)).usage
    assert torch.equal(quantizer.codebook[:4], start[:4]) and bool((usage[:4] > 0).all())
    away = quantizer.codebook.detach()[4:] - start[usage.argmax()]
    assert 0.04 < float(away.std()) < 0.06 and len(away.unique(dim=0)) == 28


@pytest.mark.parametrize("learn", ["loss", "ema"])
def test_a_restart_puts_what_too_few_features_chose_at_features_of_the_batch(learn: str) -> None:
    quantizer: Any = Case(one_unit("restart"), {"threshold": 0.9, "learn": learn}).make()
    with torch.no_grad():
        quantizer.codebook[8:] += 30
    start, usages = quantizer.codebook.detach().clone(), []
    for seed in range(30):
        z = clustered(seed)
        usages.append(quantizer(z).usage * 4 * 144)
        counts = 0.99 ** len(usages) + sum(0.01 * 0.99**i * u for i, u in enumerate(reversed(usages)))
        rare = counts < 0.9
        at_features = (quantizer.codebook[:, None] == vectors_of(z)).all(2).any(1)
        assert torch.equal(at_features, rare), "those and whole"
        if bool(rare.any()):
            break
    assert len(usages) == 11, "1 falls below 0.9 in eleven steps of 0.99"
    assert bool(rare[8:].all()) and not rare.all()
    if learn == "loss":
        assert torch.equal(quantizer.codebook[~rare], start[~rare])


def test_units_of_pq_revive_their_codevectors_each_by_what_it_does_not_use() -> None:
    quantizer: Any = Case(settings_of("pq", K=8, m=2, d_star=2), {"anchor": "closest"}).make()
    with torch.no_grad():
        quantizer.codebook[0, 4:] += 30
    z, start = clustered(0), quantizer.codebook.detach().clone()
    indices = quantizer(z).indices
    moved = (quantizer.codebook.detach() - start).norm(dim=2) > 1
    used = torch.stack([torch.bincount(indices[:, unit].flatten(), minlength=8) > 0 for unit in range(2)])
    assert bool(moved[0, 4:].all()) and not bool((moved & used).any())
    assert float(torch.cdist(quantizer.codebook[0, 4:].detach(), vectors_of(z[:, :2])).amin(1).max()) < 0.1


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        (one_unit("restart"), {"threshold": 0.0}, "threshold .* above 0"),
        (settings_of("pq", K=8, m=2, d_star=2), {"anchor": "near"}, "anchor .* choose one of none, closest"),
        (one_unit("hvq"), {"interval": 0}, "interval .* choose 1 or more"),
        (one_unit("hvq"), {"noise": 0.0}, "noise .* above 0"),
        (one_unit("cvq"), {"contrastive": -1.0}, "contrastive .* choose 0 or more"),
        (one_unit("cvq"), {"anchor": "nearest"}, "anchor .* choose one of closest"),
        (one_unit("vq"), {"codes": "unit"}, "choose match='cosine'"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    settings: QuantizerSettings, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        quantizers.build(settings, options)
