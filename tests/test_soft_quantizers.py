"""Quantizers that train on soft assignments (gumbel, sq, hqa, partly regvq) or on a refined codebook (dual)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from vqcodec import quantizers
from vqcodec.errors import SettingsError
from vqcodec.quantizers import Fixed, Quantizer, QuantizerSettings, settings_of
from vqcodec.quantizers.layout import assignment
from vqcodec.quantizers.learning.noise import gumbel
from vqcodec.quantizers.learning.posterior import Divergence, FreeEnergy, Nearest, Sample, together

SMALL = {"layers": 2, "heads": 2, "feedforward": 16}
CASES: dict[str, tuple[QuantizerSettings, dict[str, Any]]] = {
    "gumbel": (QuantizerSettings("gumbel", K=12, m=1, d_star=4), {}),
    "gumbel-hard": (QuantizerSettings("gumbel", K=12, m=1, d_star=4), {"hard": True}),
    "sq": (QuantizerSettings("sq", K=12, m=1, d_star=4), {}),
    "hqa": (settings_of("hqa", K=12, m=1, d_star=4), {"interval": 2}),
    "regvq": (settings_of("regvq", K=12, m=1, d_star=4), {}),
    "dual": (settings_of("dual", K=12, m=2, d_star=4), SMALL),
}


def make(name: str, seed: int = 0, **options: Any) -> Any:
    torch.manual_seed(seed)
    settings, usual = CASES[name]
    return quantizers.build(settings, usual | options).train()


def latents(quantizer: Quantizer, seed: int = 1) -> Tensor:
    return torch.randn(2, quantizer.d, 3, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", CASES)
def test_in_eval_mode_the_quantizer_is_its_table(name: str) -> None:
    quantizer = make(name).eval()
    z = latents(quantizer)
    quantized = quantizer(z)
    assert torch.equal(quantized.indices, quantizer.encode(z))
    assert torch.equal(quantized.z_q, quantizer.decode(quantized.indices))
    constant = Fixed(quantizer.settings, quantizer.codevectors().detach()).eval()
    assert torch.equal(constant(z).z_q, quantized.z_q)
    assert torch.equal(constant(z).indices, quantized.indices)
    tables = quantizer.codevectors().reshape(-1, 12, 4)
    for unit, table in enumerate(tables):
        x = z[:, 4 * unit : 4 * unit + 4].movedim(1, -1)
        assert torch.equal(torch.cdist(x, table).argmin(-1), quantized.indices[:, unit])


@pytest.mark.parametrize("name", CASES)
def test_training_hands_on_gradients_and_counts_usage(name: str) -> None:
    quantizer = make(name)
    quantized = quantizer(z := latents(quantizer).requires_grad_())
    (quantized.z_q.square().sum() + quantized.loss).backward()
    assert z.grad is not None and float(z.grad.abs().min()) > 0
    assert all(float(parameter.grad.abs().sum()) > 0 for parameter in quantizer.parameters())
    counts = torch.bincount(quantized.indices.flatten(), minlength=12)
    assert torch.allclose(quantized.usage, counts / counts.sum())


@pytest.mark.parametrize("name", CASES)
def test_a_resumed_run_is_the_run_that_was_not_interrupted(name: str) -> None:
    def steps(quantizer: Any, optimizer: torch.optim.Optimizer, numbers: range) -> list[Tensor]:
        outputs = []
        for number in numbers:
            quantized = quantizer(latents(quantizer, number))
            optimizer.zero_grad()
            (quantized.z_q.square().mean() + quantized.loss).backward()
            optimizer.step()
            quantizer.advance(number / 10)
            outputs.append(quantized.z_q.detach())
        return outputs

    whole = make(name)
    optimizer = torch.optim.SGD(whole.parameters(), lr=0.1)
    steps(whole, optimizer, range(3))
    resumed = make(name, seed=9)
    resumed.load_state_dict(whole.state_dict())
    torch.manual_seed(77)
    expected = steps(whole, optimizer, range(3, 5))
    torch.manual_seed(78)
    found = steps(resumed, torch.optim.SGD(resumed.parameters(), lr=0.1), range(3, 5))
    assert all(map(torch.equal, expected, found))


@pytest.mark.parametrize("name", CASES)
def test_steps_and_runs_differ_in_their_noise_and_the_global_generator_is_left_alone(name: str) -> None:
    quantizer, other = make(name), make(name, seed=5)
    other.load_state_dict({k: v for k, v in quantizer.state_dict().items() if k != "noise.run"}, strict=False)
    z = latents(quantizer)
    state = torch.get_rng_state()
    first, *others = quantizer(z).z_q, quantizer(z).z_q, other(z).z_q
    assert torch.equal(torch.get_rng_state(), state) and not any(torch.equal(first, one) for one in others)


@pytest.mark.parametrize("name", CASES)
def test_given_indices_are_followed_in_training(name: str) -> None:
    quantizer = make(name, **({"dropout": 0.0} if name == "dual" else {}))
    z = latents(quantizer).requires_grad_()
    indices = torch.randint(12, (2, quantizer.m, 3, 5), generator=torch.Generator().manual_seed(3))
    quantized = quantizer(z, indices)
    assert torch.equal(quantized.indices, indices)
    assert torch.allclose(quantized.z_q, quantizer.decode(indices), atol=1e-6)
    (gradient,) = torch.autograd.grad(quantized.z_q.sum(), z)
    assert torch.allclose(gradient, torch.ones_like(z))


def test_temperature_falls_exponentially_and_hardens_samples() -> None:
    quantizer = make("gumbel", start=2.0, end=0.02)
    z = latents(quantizer)
    distances = []
    for fraction, temperature in ((0.0, 2.0), (0.5, 0.2), (1.0, 0.02)):
        quantizer.advance(fraction)
        assert float(quantizer.temperature) == pytest.approx(temperature)
        x = quantizer(z).z_q.movedim(1, -1).reshape(-1, 4)
        distances.append(float(torch.cdist(x, quantizer.codebook).detach().amin(1).mean()))
    assert distances[0] > distances[1] > distances[2]


def test_a_temperature_that_falls_before_the_backward_pass_does_not_change_it() -> None:
    gradients = []
    for fraction in (0.0, 1.0):
        quantizer = make("gumbel")
        z = latents(quantizer).requires_grad_()
        z_q = quantizer(z).z_q
        quantizer.advance(fraction)
        gradients.append(torch.autograd.grad(z_q.square().sum(), z)[0])
    assert torch.equal(*gradients)


def _formulas(x: Tensor, codebook: Tensor, precision: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, divergence of the posteriors from uniform, and their free energy."""
    logits = -precision * (x[:, None] - codebook).square().sum(2)
    posterior = logits.softmax(1)
    divergence = (posterior * logits.log_softmax(1)).sum(1) + math.log(len(codebook))
    return logits, divergence, divergence - (posterior * logits).sum(1)


def _mixed(logits: Tensor, codebook: Tensor, temperature: Tensor, hard: bool, rows: int) -> Tensor:
    noise = torch.cat([gumbel(len(part), 9, 5 + rows * i, part.device) for i, part in enumerate(logits.split(rows))])
    weights = ((logits + noise) / temperature).softmax(1)
    through = (weights - weights.detach()) @ codebook.detach()
    return codebook[weights.argmax(1)] + through if hard else weights @ codebook


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize(("scale", "heat"), [(1.0, 1.0), (1.0, 0.1), (9.0, 40.0)])
@pytest.mark.parametrize("rows", [1, 7, 30])
def test_a_step_is_that_of_the_formulas(hard: bool, scale: float, heat: float, rows: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(assignment, "BUDGET_VALUES", 9 * rows + 8)
    torch.manual_seed(2)
    values = scale * torch.randn(30, 3), scale * torch.randn(9, 3), torch.tensor(0.7)
    inputs, temperature = [value.double().requires_grad_() for value in values], torch.tensor(heat).double()
    nearest, *found = together((Nearest(), Sample(temperature, hard, 5), Divergence(), FreeEnergy()), *inputs)
    logits, *measures = _formulas(*inputs)
    expected = [_mixed(logits, inputs[1], temperature, hard, rows), *measures]
    assert torch.equal(nearest, logits.argmax(1))
    assert_close(found, expected)
    pulls = [torch.randn_like(y) for y in found]
    for some in (slice(1), slice(1, 2), slice(2, 3), slice(3)):
        assert_close(*(torch.autograd.grad(y[some], inputs, pulls[some], retain_graph=True) for y in (found, expected)))


def assert_close(ones: Iterable[Tensor], others: Iterable[Tensor]) -> None:
    assert all(torch.allclose(one, other, rtol=1e-9, atol=1e-10) for one, other in zip(ones, others, strict=True))


@pytest.mark.parametrize(("name", "options"), [("gumbel", {"weight": 0.5, "sharpness": 3}), ("sq", {"variance": 0.8})])
def test_loss_is_weighted_divergence_or_free_energy_per_value(name: str, options: dict[str, float]) -> None:
    quantizer: Any = quantizers.build(CASES[name][0], options).train()
    z, precision = latents(quantizer), 3.0 if name == "gumbel" else 0.625
    for _ in range(2):
        _, divergence, energy = _formulas(z.movedim(1, -1).reshape(-1, 4), quantizer.codebook.detach(), precision)
        expected = 0.5 * divergence.mean() if name == "gumbel" else energy.mean() / 4
        trained, evaluated = quantizer(z), copy.deepcopy(quantizer).eval()(z)
        assert float(trained.loss.detach()) == pytest.approx(float(expected), rel=1e-5, abs=1e-6)
        assert all(map(torch.equal, trained[1:], evaluated[1:]))
        torch.nn.init.zeros_(quantizer.codebook)
    assert not trained.indices.any()


def _train_sq(reconstruction: float) -> Iterator[float]:
    """Yield sigma^2 after each step on vectors of 16 values that lie around nine points of a plane."""
    torch.manual_seed(0)
    quantizer: Any = quantizers.build(QuantizerSettings("sq", K=16, m=1, d_star=2)).train()
    encoder, decoder = torch.nn.Linear(16, 2), torch.nn.Linear(2, 16)
    plane = torch.eye(2).repeat_interleave(8, 1)
    networks = torch.nn.ModuleList([quantizer, encoder, decoder])
    optimizer = torch.optim.Adam(networks.parameters(), lr=1e-2)
    for step in range(200):
        quantizer.advance(step / 200)
        x = (torch.randint(3, (128, 2)) - 1.0) @ plane + 0.05 * torch.randn(128, 16)
        quantized = quantizer(encoder(x)[:, :, None, None])
        error = (decoder(quantized.z_q[:, :, 0, 0]) - x).square().mean()
        optimizer.zero_grad()
        (reconstruction * 16 / 2 * error.log() + 2 * quantized.loss).backward()
        optimizer.step()
        yield float(0.5 / quantizer.precision().detach())


def test_the_variance_of_sq_anneals_itself_for_the_sake_of_the_reconstruction() -> None:
    *_, begun, ended = [sum(part) / 50 for part in zip(*[iter(_train_sq(1.0))] * 50, strict=True)]
    assert ended < begun < 1
    assert ended < 0.5
    *_, alone = _train_sq(0.0)
    assert alone > 1


def test_the_transformer_moves_all_codevectors_when_one_is_used() -> None:
    quantizer = make("dual")
    indices = torch.zeros(1, 2, 1, 1, dtype=torch.int64)
    quantizer(torch.randn(1, 8, 1, 1), indices).loss.backward()
    assert bool((quantizer.global_codebook.grad.abs().sum(1) > 0).all())
    assert torch.equal(quantizer.local_codebook.grad.abs().sum(1) > 0, torch.arange(12) == 0)


def test_loss_of_dual_adds_up_the_losses_of_its_halves() -> None:
    quantizer = make("dual").eval()
    z = latents(quantizer)
    quantized = quantizer(z)
    halves = [1.25 * (z - quantized.z_q)[:, part].square().mean() for part in (slice(4), slice(4, 8))]
    assert float(quantized.loss.detach()) == pytest.approx(float(sum(halves).detach()), rel=1e-5)


def test_first_codebooks_of_dual_are_as_published() -> None:
    quantizer: Any = quantizers.build(settings_of("dual", K=512, m=2, d_star=8), SMALL)
    assert float(quantizer.global_codebook.detach().std()) == pytest.approx(1.0, abs=0.05)
    assert float(quantizer.local_codebook.detach().abs().max()) == pytest.approx(1 / 512, rel=0.01)
    layers = make("dual", layers=6, feedforward=2048).transformer.layers
    assert len(layers) == 6 and layers[0].linear1.out_features == 2048 and layers[0].dropout.p == 0.1


def _refinements(quantizer: Any) -> list[int]:
    """A list that grows by one each time the Transformer runs."""
    runs: list[int] = []
    quantizer.transformer.register_forward_hook(lambda *_: runs.append(1))
    return runs


def test_one_forward_pass_refines_once_and_matches_what_it_hands_on() -> None:
    quantizer = make("dual", dropout=0.5)
    runs, z = _refinements(quantizer), latents(quantizer)
    table = quantizer.codevectors().detach()
    runs.clear()
    quantized = quantizer(z)
    assert len(runs) == 1
    constant = Fixed(quantizer.settings, table)(z)
    assert torch.equal(quantized.indices, constant.indices)
    assert torch.allclose(quantized.z_q, constant.z_q, atol=1e-6)
    assert not torch.allclose(quantizer.codevectors()[0], table[0])


def test_the_refined_codebook_is_a_constant_until_training_or_loading_goes_on() -> None:
    quantizer, other = make("dual").eval(), make("dual", seed=3).eval()
    runs = _refinements(quantizer)
    quantizer.codevectors()
    for _ in range(2):
        quantizer(latents(quantizer)).loss.backward()
    assert len(runs) == 1
    assert "refined" not in quantizer.state_dict()
    torch.nn.ModuleList([quantizer]).load_state_dict(torch.nn.ModuleList([other]).state_dict())
    assert torch.equal(quantizer.codevectors(), other.codevectors()) and len(runs) == 2
    with torch.no_grad():
        quantizer.train().global_codebook.add_(torch.randn(12, 4))
    with torch.inference_mode():
        assert not torch.equal(quantizer.eval().codevectors()[0], other.codevectors()[0])
    quantizer(latents(quantizer)).loss.backward()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("gumbel", {"end": 0.0}, "choose 0 < end <= start"),
        ("sq", {"start": 0.1, "end": 0.2}, "choose 0 < end <= start"),
        ("sq", {"variance": -1.0}, "choose a number above 0"),
        ("dual", {"heads": 3}, "heads that divide d_star"),
        ("dual", {"layers": 0}, "option layers"),
        ("dual", {"feedforward": 0}, "option feedforward"),
        ("dual", {"dropout": 1.0}, "option dropout"),
        ("dual", {"depth": 3}, "no option 'depth'"),
    ],
)
def test_options_that_make_no_sense_are_refused(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        make(name, **options)


def test_dual_has_two_units_and_soft_quantizers_match_by_distance() -> None:
    with pytest.raises(SettingsError, match="choose m=2"):
        quantizers.build(settings_of("dual", K=12, m=1, d_star=8))
    with pytest.raises(SettingsError, match="choose match='l2'"):
        settings_of("sq", K=12, m=1, d_star=8, match="cosine")
