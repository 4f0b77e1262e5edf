"""Soft assignment: posteriors, samples and their gradients are those of the formulas, block by block."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vqcodec import quantizers
from vqcodec.quantizers import QuantizerSettings
from vqcodec.quantizers.layout import assignment
from vqcodec.quantizers.learning.noise import gumbel
from vqcodec.quantizers.learning.posterior import Divergence, FreeEnergy, Result, Sample, together


def vectors(count: int, K: int, d_star: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features, codebook and precision that want gradients."""
    generator = torch.Generator().manual_seed(2)
    x, codebook = (torch.randn(rows, d_star, generator=generator).requires_grad_() for rows in (count, K))
    return x, codebook, torch.tensor(0.7, requires_grad=True)


def logits(x: Tensor, codebook: Tensor, precision: Tensor) -> Tensor:
    return -precision * (x[:, None] - codebook).square().sum(2)


def test_gumbel_noise_has_the_distribution_that_makes_the_largest_a_sample() -> None:
    noise = gumbel(40_000, 3, 4, torch.device("cpu"))
    assert float(noise.mean()) == pytest.approx(0.5772, abs=0.015)
    assert float(noise.var()) == pytest.approx(math.pi**2 / 6, abs=0.04)
    probabilities = torch.tensor([0.6, 0.3, 0.1])
    counts = torch.bincount((probabilities.log() + noise).argmax(1)) / 40_000
    assert torch.allclose(counts, probabilities, atol=0.01)


def _weights(x: Tensor, codebook: Tensor, precision: Tensor, rows: int) -> Tensor:
    noise = torch.cat([gumbel(rows, len(codebook), 5 + start, x.device) for start in range(0, len(x), rows)])
    return ((logits(x, codebook, precision) + noise) / 0.5).softmax(1)


def _mixture(x: Tensor, codebook: Tensor, precision: Tensor, rows: int = 30) -> Tensor:
    return _weights(x, codebook, precision, rows) @ codebook


def _straight_through(x: Tensor, codebook: Tensor, precision: Tensor) -> Tensor:
    weights = _weights(x, codebook, precision, 30)
    chosen = F.one_hot(weights.argmax(1), len(codebook))
    return (chosen - weights.detach() + weights) @ codebook


def _divergence(x: Tensor, codebook: Tensor, precision: Tensor) -> Tensor:
    logs = logits(x, codebook, precision).log_softmax(1)
    return (logs.exp() * (logs + math.log(len(codebook)))).sum(1)


def _energy(x: Tensor, codebook: Tensor, precision: Tensor) -> Tensor:
    posterior = logits(x, codebook, precision).softmax(1)
    return -(posterior * logits(x, codebook, precision)).sum(1) + _divergence(x, codebook, precision)


Function = Callable[[Tensor, Tensor, Tensor], Tensor]
SAMPLE, HARD_SAMPLE = (Sample(torch.tensor(0.5), hard, 5) for hard in (False, True))


@pytest.mark.parametrize(
    ("result", "formula"),
    [(SAMPLE, _mixture), (HARD_SAMPLE, _straight_through), (Divergence(), _divergence), (FreeEnergy(), _energy)],
)
def test_values_and_gradients_are_those_of_the_formula(result: Result, formula: Function) -> None:
    inputs = vectors(30, 9, 3)
    (found,), expected = together((result,), *inputs), formula(*inputs)
    assert torch.allclose(found, expected, atol=1e-5)
    weight = torch.randn(found.shape, generator=torch.Generator().manual_seed(6))
    assert_close(*(torch.autograd.grad((y * weight).sum(), inputs) for y in (found, expected)))


def assert_close(one: Any, other: Any) -> None:
    for a, b in zip(one, other, strict=True):
        assert torch.allclose(a, b, atol=2e-5)


def test_each_block_has_its_own_noise_and_the_same_in_the_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "BUDGET_VALUES", 9 * 10 + 5)
    inputs = vectors(30, 9, 3)
    (found,), expected = together((SAMPLE,), *inputs), _mixture(*inputs, rows=10)
    assert torch.allclose(found, expected, atol=1e-5)
    weight = torch.randn(30, 3, generator=torch.Generator().manual_seed(6))
    assert_close(*(torch.autograd.grad((y * weight).sum(), inputs) for y in (found, expected)))


@pytest.mark.parametrize("result", [Divergence(), FreeEnergy()])
def test_blocks_change_neither_values_nor_gradients(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = vectors(50, 16, 3)
    (whole,) = together((result,), *inputs)
    gradients = torch.autograd.grad(whole.sum(), inputs)
    monkeypatch.setattr(assignment, "BUDGET_VALUES", 100)
    (parts,) = together((result,), *inputs)
    assert torch.allclose(whole, parts, atol=1e-6)
    assert_close(gradients, torch.autograd.grad(parts.sum(), inputs))


def test_hard_samples_are_codevectors_and_others_are_between_them() -> None:
    x, codebook, precision = (tensor.detach() for tensor in vectors(40, 9, 3))
    for sample in (HARD_SAMPLE, SAMPLE):
        (y,) = together((sample,), x, codebook, precision)
        assert bool((torch.cdist(y, codebook).amin(1) < 1e-3).all()) == sample.hard


def test_features_far_from_all_codevectors_but_one_give_finite_gradients() -> None:
    x = torch.tensor([[0.0], [1.0]], requires_grad=True)
    codebook = torch.tensor([[0.0], [1e3], [-1e4]], requires_grad=True)
    (found,) = together((Divergence(),), x, codebook, torch.tensor(1.0))
    assert torch.allclose(found, torch.full((2,), math.log(3)))
    (gradient,) = torch.autograd.grad(found.sum(), codebook)
    assert float(gradient.abs().max()) < 1e-12


class Watch(TorchDispatchMode):
    """Notes the largest tensor that any operation makes, and the most values that were alive together."""

    def __init__(self) -> None:
        super().__init__()
        self.largest, self.together = 0, 0
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                reference = StorageWeakRef(tensor.untyped_storage())
                self.alive[reference.cdata] = reference, tensor.untyped_storage().nbytes() // 4
                self.largest = max(self.largest, tensor.numel())
        self.alive = {key: entry for key, entry in self.alive.items() if not entry[0].expired()}
        self.together = max(self.together, sum(values for _, values in self.alive.values()))
        return result


@pytest.mark.parametrize(("name", "options"), [("gumbel", {}), ("gumbel", {"hard": True}), ("sq", {})])
def test_memory_stays_within_a_few_budgets(name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "BUDGET_VALUES", 2400)
    quantizer = quantizers.build(QuantizerSettings(name, K=12, m=1, d_star=4), options).train()
    z = torch.randn(2, 4, 50, 40, requires_grad=True)
    assert z.numel() / 4 * 12 == 20 * 2400
    with Watch() as watch:
        quantized = quantizer(z)
        (quantized.z_q.sum() + quantized.loss).backward()
    assert watch.largest <= z.numel()
    assert watch.together - 6 * z.numel() < 8 * 2400
