"""The discriminator of patches, its losses, and the weight that balances them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vqcodec.losses.adversarial import (
    MOST_ADAPTIVE,
    PatchDiscriminator,
    adaptive_weight,
    discriminator_hinge,
    feature_matching,
    generator_hinge,
)

SEEN = 54
"""Pixels along each side that a logit sees."""


@pytest.fixture
def discriminator() -> PatchDiscriminator:
    """A small discriminator, as it is before training."""
    torch.manual_seed(0)
    return PatchDiscriminator(8).eval()


def noise(seed: int, *shape: int) -> Tensor:
    """Values in 0..1."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_there_is_a_logit_for_every_eight_pixels(discriminator: PatchDiscriminator) -> None:
    judged = discriminator(noise(0, 2, 3, 64, 96))
    assert judged.logits.shape == (2, 1, 8, 12)
    assert [tuple(f.shape[1:]) for f in judged.features] == [(8, 32, 48), (16, 16, 24), (32, 8, 12), (32, 8, 12)]


def test_a_logit_sees_textures_and_not_the_whole_picture(discriminator: PatchDiscriminator) -> None:
    x = noise(1, 1, 3, 128, 128).requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(x).logits[0, 0, 8, 8], x)
    rows, columns = gradient.abs().sum((0, 1)).nonzero().unbind(1)
    assert rows.max() - rows.min() + 1 == columns.max() - columns.min() + 1 == SEEN


def test_hinge_losses() -> None:
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.5])
    assert discriminator_hinge(real, fake) == pytest.approx((0.25 + 0.75) / 2)
    assert discriminator_hinge(real + 1, fake - 2) == 0
    assert generator_hinge(fake) == 1.25


def test_feature_matching_is_nothing_for_the_same_picture_and_moves_only_the_copy(
    discriminator: PatchDiscriminator,
) -> None:
    x, y = (noise(seed, 1, 3, 32, 32).requires_grad_(True) for seed in (0, 1))
    assert feature_matching(discriminator(x), discriminator(x)) == 0
    feature_matching(discriminator(x), discriminator(y)).backward()  # type: ignore[no-untyped-call]
    assert x.grad is None and y.grad is not None and y.grad.abs().sum() > 0


def test_the_adaptive_weight_makes_gradients_equal_and_stays_bounded() -> None:
    a, b = torch.full((4,), 3.0), torch.full((4,), 0.5)
    assert adaptive_weight(a, b) * b.norm() == pytest.approx(a.norm().item(), rel=1e-3)
    assert adaptive_weight(a * 1e9, b * 0) == MOST_ADAPTIVE
    assert adaptive_weight(a * 0, b) == 0
