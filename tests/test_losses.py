"""The losses against other implementations, against numerical differences, and where pictures are extreme."""

from __future__ import annotations

import ast
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from comparing import Pixels, batch, blurred, gradient, noisy
from pytorch_msssim import ms_ssim
from tiny import picture
from torch import nn

import vqcodec.losses
from vqcodec.errors import SettingsError
from vqcodec.evaluation.metrics import ssimulacra
from vqcodec.losses import LOSSES, Weighted, build
from vqcodec.losses.filters import blur, bounded, gaussian, halve
from vqcodec.losses.ssimulacra import Ssimulacra2
from vqcodec.losses.structure import Structure

HERE = [name for name in LOSSES if name != "lpips"]


@pytest.fixture(scope="module")
def losses() -> dict[str, nn.Module]:
    """Every loss whose weights can be had anywhere."""
    return {name: LOSSES[name]() for name in HERE}


COPIES: dict[str, Callable[[Pixels], Pixels]] = {
    "noise 1": lambda pixels: noisy(pixels, 1),
    "noise 6": lambda pixels: noisy(pixels, 6),
    "noise 60": lambda pixels: noisy(pixels, 60),
    "blurred": lambda pixels: blurred(pixels, 1.3),
    "coarse": lambda pixels: pixels // 32 * 32,
    "inverted": lambda pixels: 255 - pixels,
}


@pytest.mark.parametrize("size", [(70, 101), (256, 256), (64, 65), (33, 50), (8, 9)])
def test_ssimulacra2_is_that_of_the_evaluation(size: tuple[int, int]) -> None:
    original = picture(*size, seed=size[0])
    copies = [copy(original) for copy in COPIES.values()]
    scores = Ssimulacra2().scores(batch(*[original] * len(copies)), batch(*copies))
    wanted = [ssimulacra.score(original, copy) for copy in copies]
    assert scores.tolist() == pytest.approx(wanted, abs=0.02, rel=1e-5)
    assert len({round(score) for score in wanted}) > 3


def test_ssimulacra2_loss_is_the_score_until_it_goes_on_as_a_straight_line() -> None:
    original = picture(96, 96, seed=2)
    x, loss = batch(original), Ssimulacra2()
    for deviation in (0.4, 1, 2, 3, 4):
        y = batch(noisy(original, deviation))
        score = loss.scores(x, y).item()
        assert score > 0 and loss(x, y).item() == pytest.approx((100 - score) / 100, abs=2e-3)
    bad = batch(noisy(original, 120))
    assert loss.scores(x, bad).item() < -50 and loss(x, bad).item() > 1.5


def test_ssimulacra2_teaches_where_the_score_itself_is_flat() -> None:
    original = picture(64, 64, seed=2)
    x, loss = batch(original), Ssimulacra2()
    ys = [batch(noisy(original, deviation)) for deviation in range(20, 120, 2)]
    scores = torch.cat([loss.scores(x, y) for y in ys])
    flat = ys[int((scores + 65).abs().argmin())]
    variable = flat.clone().requires_grad_()
    (slope_of_score,) = torch.autograd.grad(loss.scores(x, variable).sum() / 100, variable)
    assert gradient(loss, x, flat).norm() > 10 * slope_of_score.norm()


def test_ssimulacra2_of_a_batch_is_that_of_its_pictures() -> None:
    originals = [picture(40, 56, seed=s) for s in range(3)]
    copies = [noisy(original, 5 * s + 2) for s, original in enumerate(originals)]
    loss = Ssimulacra2()
    each = [loss(batch(a), batch(b)).item() for a, b in zip(originals, copies, strict=True)]
    assert loss(batch(*originals), batch(*copies)).item() == pytest.approx(np.mean(each), rel=1e-5)


def test_structure_holds_the_ms_ssim_of_five_scales() -> None:
    original = picture(192, 256, seed=4)
    x, y = batch(original, original), batch(noisy(original, 20), blurred(original, 2))
    edges, d = 0.0, y - x
    for _ in range(3):
        edges += ((d[:, :, 1:] - d[:, :, :-1]).abs().mean() + (d[..., 1:] - d[..., :-1]).abs().mean()).item() / 3
        d = F.avg_pool2d(d, 2)
    wanted = ms_ssim(y.double(), x.double(), data_range=1).item()
    assert 1 + edges - Structure()(x, y).item() == pytest.approx(wanted, abs=2e-6)


@pytest.mark.parametrize("size", [(64, 64), (65, 64), (97, 131), (256, 70)])
@pytest.mark.parametrize("name", HERE)
def test_any_size_of_at_least_64(losses: dict[str, nn.Module], name: str, size: tuple[int, int]) -> None:
    original = picture(*size, seed=1)
    x, y = batch(original), batch(noisy(original, 10))
    assert losses[name](x, x).item() == 0
    assert 0 < losses[name](x, y).item() < math.inf


@pytest.mark.parametrize("name", HERE)
def test_losses_grow_with_noise(losses: dict[str, nn.Module], name: str) -> None:
    original = picture(64, 96, seed=5)
    values = [losses[name](batch(original), batch(noisy(original, n))).item() for n in (0, 0.5, 2, 6, 20, 60, 120)]
    assert values[0] == 0 and values == sorted(set(values))


@pytest.mark.parametrize("name", HERE)
def test_gradients_are_those_of_numerical_differences(losses: dict[str, nn.Module], name: str) -> None:
    random = np.random.default_rng(3)
    loss = LOSSES[name]().double()
    x = torch.from_numpy(random.uniform(0.2, 0.8, (1, 3, 64, 66)))
    y = x + torch.from_numpy(random.normal(0, 0.04, x.shape))
    slope = gradient(loss, x, y)
    for direction in torch.from_numpy(random.normal(0, 1, (2, *x.shape))):
        # Towards the slope as well, since along a random direction alone nearly nothing would change.
        direction = direction + slope / slope.std()
        step = 1e-7 * direction
        measured = (loss(x, y + step) - loss(x, y - step)).item() / 2e-7
        assert (slope * direction).sum().item() == pytest.approx(measured, rel=2e-3)


EXTREMES = {
    "black": torch.zeros(1, 3, 64, 64),
    "white": torch.ones(1, 3, 64, 64),
    "photo": batch(picture(64, 64, seed=8)),
    "checks": (torch.arange(64)[:, None] + torch.arange(64)).remainder(2).float().expand(1, 3, 64, 64),
    "below": torch.full((1, 3, 64, 64), -3.0),
    "above": torch.full((1, 3, 64, 64), 5.0),
}


@pytest.mark.parametrize("name", HERE)
def test_gradients_are_finite_for_extreme_pictures(losses: dict[str, nn.Module], name: str) -> None:
    originals = [EXTREMES[original] for original in ("black", "white", "photo", "checks")]
    x = torch.cat([original for original in originals for _ in EXTREMES])
    y = torch.cat([*EXTREMES.values()] * len(originals))
    for distance in (0.0, 1e-7, 1e-4):
        slope = gradient(losses[name], x, y + distance)
        assert slope.isfinite().all() and slope.norm() < 10


@pytest.mark.parametrize("name", HERE)
@pytest.mark.parametrize("start", ["black", "white", "checks", "below", "above"])
def test_a_step_against_the_gradient_helps_from_anywhere(losses: dict[str, nn.Module], name: str, start: str) -> None:
    x, y = EXTREMES["photo"], EXTREMES[start]
    slope = gradient(losses[name], x, y)
    assert slope.norm() > 0
    if name == "ssimulacra2" and start in ("below", "above"):
        # What is outside counts as the bound, so the loss itself changes only once the samples are back.
        assert (slope.sum() > 0) == (start == "above") and losses[name](x, y) == losses[name](x, y.clamp(0, 1))
        return
    # The differences of neighbors are absolute values: a step that crosses many of their kinks proves nothing.
    assert min(losses[name](x, y - step * slope / slope.norm()).item() for step in (0.001, 0.01, 0.1, 1)) < losses[
        name
    ](x, y)


def test_bounds_let_only_gradients_through_that_lead_back() -> None:
    values = torch.tensor([-1.0, -1.0, 0.5, 0.5, 2.0, 2.0], requires_grad=True)
    inside = bounded(values, 0.0, 1.0)
    (slope,) = torch.autograd.grad(inside, values, torch.tensor([3.0, -3.0, 3.0, -3.0, 3.0, -3.0]))
    assert inside.tolist() == [0, 0, 0.5, 0.5, 1, 1]
    assert slope.tolist() == [0, -3, 3, -3, 3, 0]


@pytest.mark.parametrize("padding", [0, 2, 4])
def test_blur_is_a_convolution_with_its_gradients(padding: int) -> None:
    taps = gaussian(9, 1.5).double()
    assert taps.sum().item() == pytest.approx(1)
    planes = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 13, 11))).requires_grad_()
    window = (taps[:, None] * taps).expand(3, 1, 9, 9)
    wanted = F.conv2d(planes, window, padding=padding, groups=3)
    found = blur(planes, taps, padding)
    torch.testing.assert_close(found, wanted)
    back = torch.randn(wanted.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        torch.autograd.grad(found, planes, back)[0], torch.autograd.grad(wanted, planes, back)[0]
    )


def test_halves_of_odd_sizes_average_what_is_there() -> None:
    planes = torch.arange(9.0).reshape(1, 1, 3, 3)
    assert halve(planes).tolist() == [[[[2, 3.5], [6.5, 8]]]]


def test_a_weighted_sum_tells_its_parts(losses: dict[str, nn.Module]) -> None:
    original = picture(64, 64, seed=9)
    x, y = batch(original), batch(noisy(original, 10)).requires_grad_()
    weighted = build({"l2": 10, "structure": 0.5})
    assert isinstance(weighted, Weighted)
    total, values = weighted(x, y)
    wanted = {name: losses[name](x, y).item() for name in ("l2", "structure")}
    assert values == wanted
    assert total.item() == pytest.approx(10 * wanted["l2"] + 0.5 * wanted["structure"])
    (slope,) = torch.autograd.grad(total, y)
    parts = [gradient(losses[name], x, y.detach()) for name in ("l2", "structure")]
    torch.testing.assert_close(slope, 10 * parts[0] + 0.5 * parts[1])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "no loss is named; choose from l1, l2, structure, ssimulacra2, features, semantic, lpips"),
        ({"l1": 1, "vgg": 1}, "no loss 'vgg'; choose from l1, l2, structure, ssimulacra2, features, semantic, lpips"),
        ({"l1": 0}, "weight of the loss l1 is 0"),
        ({"l1": -1.5}, "weight of the loss l1 is -1.5"),
        ({"l1": math.nan}, "weight of the loss l1 is nan"),
        ({"l1": math.inf}, "weight of the loss l1 is inf"),
    ],
)
def test_weights_that_make_no_sense(weights: dict[str, float], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        build(weights)


def test_no_module_needs_an_extra_to_be_imported() -> None:
    package = Path(vqcodec.losses.__file__).parent
    for path in package.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            roots = {name.partition(".")[0] for name in names}
            assert roots <= {"torch", "vqcodec", *sys.stdlib_module_names}, path.name
