"""Quantizers of vector-quantize-pytorch behind this package's contract."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from vqcodec import quantizers
from vqcodec.errors import SettingsError
from vqcodec.quantizers import Fixed, Quantizer, QuantizerSettings, settings_of
from vqcodec.quantizers.layout import matching

LEVELS = (8, 5, 4)
CASES = {
    "fsq": QuantizerSettings("fsq", K=160, m=1, d_star=3, match="fsq", levels=LEVELS),
    "fsq-odd": QuantizerSettings("fsq", K=105, m=1, d_star=3, match="fsq", levels=(3, 5, 7)),
    "lfq": QuantizerSettings("lfq", K=64, m=1, d_star=6),
    "fsq-units": QuantizerSettings("fsq", K=60, m=3, d_star=3, match="fsq", levels=(4, 5, 3)),
    "lfq-units": QuantizerSettings("lfq", K=32, m=2, d_star=5),
    "simvq": QuantizerSettings("simvq", K=40, m=1, d_star=6),
    "rotation": QuantizerSettings("rotation", K=40, m=1, d_star=6),
}


@pytest.fixture
def package() -> Any:
    """The package, or no test."""
    return pytest.importorskip("vector_quantize_pytorch")


def make(name: str, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return quantizers.build(CASES[name]).train()


def by_plane(indices: Tensor) -> Tensor:
    """Indices of the package, [B, h, w] or [B, h, w, m], as they stand in a file, [B, m, h, w]."""
    return indices.long().view(*indices.shape[:3], -1).movedim(-1, 1)


def latents(quantizer: Quantizer, seed: int = 1) -> Tensor:
    return torch.randn(2, quantizer.d, 9, 13, generator=torch.Generator().manual_seed(seed))


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("name", CASES)
def test_in_eval_mode_the_quantizer_is_its_table(name: str) -> None:
    quantizer = make(name)
    quantizer(latents(quantizer, seed=2))
    quantizer.eval()
    z = latents(quantizer)
    quantized = quantizer(z)
    assert torch.equal(quantized.indices, quantizer.encode(z))
    assert torch.equal(quantized.z_q, quantizer.decode(quantized.indices))
    constant = Fixed(quantizer.settings, quantizer.codevectors().detach()).eval()
    assert torch.equal(constant(z).indices, quantized.indices)
    assert torch.equal(constant(z).z_q, quantized.z_q)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("name", CASES)
def test_indices_and_vectors_are_those_of_the_package(name: str) -> None:
    quantizer = make(name).eval()
    z = latents(quantizer)
    quantized = quantizer(z)
    z_q, indices, *_ = quantizer.library(z)
    assert torch.equal(quantized.indices, by_plane(indices))
    assert torch.allclose(quantized.z_q, z_q, atol=1e-6)
    assert len(indices.unique()) > 20


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("name", CASES)
def test_training_is_that_of_the_package(name: str) -> None:
    quantizer, twin = make(name), make(name)
    z = latents(quantizer).requires_grad_()
    quantized = quantizer(z)
    z_q, indices, *loss = twin.library(z)
    assert torch.equal(quantized.z_q, z_q) and torch.equal(quantized.indices, by_plane(indices))
    assert torch.equal(quantized.loss, loss[0] if loss else torch.tensor(0.0))
    (quantized.z_q.square().sum() + quantized.loss).backward()
    assert z.grad is not None and bool(z.grad.isfinite().all()) and float(z.grad.abs().sum()) > 0
    assert all(float(parameter.grad.abs().sum()) > 0 for parameter in quantizer.parameters())
    assert torch.allclose(quantized.usage, torch.bincount(indices.flatten(), minlength=quantizer.K) / indices.numel())


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(("name", "learns"), [("fsq", False), ("lfq", False), ("simvq", True), ("rotation", True)])
def test_steps_move_the_table_where_there_is_something_to_learn(name: str, learns: bool) -> None:
    quantizer = make(name)
    z = latents(quantizer).requires_grad_()
    before = quantizer.codevectors().detach().clone()
    optimizer = torch.optim.SGD([*quantizer.parameters(), z], lr=0.1)
    error = []
    for _ in range(20):
        quantized = quantizer(z)
        optimizer.zero_grad()
        (quantized.z_q.square().sum() + quantized.loss).backward()
        optimizer.step()
        error.append(float(quantized.z_q.detach().square().sum()))
    assert torch.equal(quantizer.codevectors(), before) != learns
    assert name == "lfq" or error[-1] < error[0]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("name", CASES)
def test_a_resumed_run_is_the_run_that_was_not_interrupted(name: str) -> None:
    whole, resumed = make(name), make(name, seed=9)
    for step in range(3):
        whole(latents(whole, step))
    resumed.load_state_dict(whole.state_dict())
    torch.manual_seed(77)
    expected = [whole(latents(whole, step)) for step in range(3, 6)]
    torch.manual_seed(78)
    found = [resumed(latents(whole, step)) for step in range(3, 6)]
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one.z_q, other.z_q) and torch.equal(one.loss, other.loss)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("name", CASES)
def test_given_indices_are_followed_in_training(name: str) -> None:
    quantizer = make(name)
    z = latents(quantizer).requires_grad_()
    indices = torch.randint(quantizer.K, (2, quantizer.m, 9, 13), generator=torch.Generator().manual_seed(3))
    before = quantizer.codevectors().detach().clone()
    quantized = quantizer(z, indices)
    assert torch.equal(quantized.indices, indices) and torch.equal(quantizer.codevectors(), before)
    assert torch.allclose(quantized.z_q, quantizer.decode(indices), atol=1e-6)
    (gradient,) = torch.autograd.grad(quantized.z_q.sum(), z)
    assert torch.equal(gradient, torch.ones_like(z))


@pytest.mark.parametrize("levels", [LEVELS, (3, 5, 7), (9,)])
def test_the_grid_is_the_package_s_and_bounding_leads_to_it(package: Any, levels: tuple[int, ...]) -> None:
    library = package.FSQ(list(levels))
    points = matching.grid(levels)
    assert torch.equal(points, library.implicit_codebook)
    x = 3 * torch.randn(500, len(levels), generator=torch.Generator().manual_seed(4))
    bounded = matching.bound(x, levels)
    assert float(bounded.abs().max()) <= 1.01
    assert torch.equal(points[torch.cdist(bounded, points).argmin(1)], library.quantize(x))


@pytest.mark.parametrize("name", ["fsq", "lfq", "simvq", "rotation"])
def test_without_the_package_the_error_says_how_to_get_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vector_quantize_pytorch", None)
    with pytest.raises(SettingsError, match=r"pip install 'vqcodec\[quantizers\]'"):
        make(name)


def test_a_trained_grid_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vector_quantize_pytorch", None)
    quantizer = Fixed(CASES["fsq"], matching.grid(LEVELS)).eval()
    extremes = quantizer(torch.tensor([-9.0, 9.0]).expand(1, 3, 1, 2)).z_q[0, :, 0]
    assert torch.equal(extremes, torch.tensor([[-1.0, 0.75], [-1.0, 1.0], [-1.0, 0.5]]))


def test_lfq_has_the_entropy_loss_of_the_package_and_a_commitment_loss(package: Any) -> None:
    quantizer = make("lfq")
    z = latents(quantizer)
    entropy = package.LFQ(dim=6, codebook_size=64).train()(z).entropy_aux_loss
    commitment = (z - quantizer(z).z_q).square().mean()
    assert float(quantizer(z).loss) == pytest.approx(float(entropy + 0.25 * commitment), rel=1e-5)


@pytest.mark.usefixtures("package")
def test_lfq_has_a_bit_per_channel() -> None:
    with pytest.raises(SettingsError, match=r"K=60 is not 2\^6"):
        quantizers.build(QuantizerSettings("lfq", K=60, m=1, d_star=6))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"match": "l2", "levels": ()}, "choose match='fsq'"),
        ({"name": "rotation"}, "choose match='l2'"),
        ({"K": 161}, "whose product is K"),
        ({"K": 80, "levels": (8, 5, 2)}, "levels of 3 or more"),
        ({"levels": (8, 20)}, "do not fit match='fsq' and d_star=3"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any], words: str) -> None:
    values = {"name": "fsq", "K": 160, "m": 1, "d_star": 3, "match": "fsq", "levels": LEVELS} | changes
    with pytest.raises(SettingsError, match=words):
        settings_of(**values)
