"""What is changed in training crops: scale, colors, drawn content; and the basis that training begins with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import picture, picture_set, tiny_settings

from vqcodec.errors import SettingsError
from vqcodec.training.photo.basis import block_basis
from vqcodec.training.pictures import drawn
from vqcodec.training.pictures.augmentation import LARGEST_RESCALE, SMALLEST_RESCALE, Augmentation, recolor

KINDS = [drawn._flat, drawn._page, drawn._screen, drawn._facade, drawn._grating, drawn._shapes]


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("change", [Augmentation(1, 0, 0), Augmentation(0, 1, 0), Augmentation(0, 0, 1)], ids=str)
def test_crops_are_changed_and_the_same_for_the_same_seed(change: Augmentation) -> None:
    pictures = picture_set()
    crops = pictures.crops(random(), 6, 64, change)
    assert crops.shape == (6, 3, 64, 64) and crops.dtype == torch.float32
    assert crops.min() >= 0 and crops.max() <= 1
    assert torch.equal(crops, pictures.crops(random(), 6, 64, change))
    assert not torch.equal(crops, pictures.crops(random(), 6, 64))


def test_scales_are_as_often_above_one_as_their_range_says() -> None:
    generator, always = random(), Augmentation(rescale=1)
    factors = np.array([256 / always.source(generator, 256) for _ in range(2000)])
    assert factors.min() == pytest.approx(SMALLEST_RESCALE, rel=0.02)
    assert factors.max() == pytest.approx(LARGEST_RESCALE, rel=0.02)
    assert (factors > 1).mean() == pytest.approx(np.log(1.5) / np.log(2.5), abs=0.04)
    assert {Augmentation().source(generator, 256) for _ in range(20)} == {256}


def test_other_colors_leave_grays_gray_and_keep_the_mean() -> None:
    gray = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1) / 2 + 0.25
    for seed in range(8):
        changed = recolor(random(seed), gray)
        assert torch.allclose(changed[0], changed[1], atol=1e-5) and torch.allclose(changed[0], changed[2], atol=1e-5)
        assert changed.mean() == pytest.approx(float(gray.mean()), abs=0.02)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_drawn_content_is_of_few_colors_or_of_hard_edges(kind: object) -> None:
    """A photograph of this size has thousands of colors; and no two drawings are the same."""
    pictures = [kind(random(seed), 96, 64) for seed in range(6)]  # type: ignore[operator]
    assert {p.shape for p in pictures} == {(64, 96, 3)} and {p.dtype for p in pictures} == {np.dtype(np.uint8)}
    assert len({p.tobytes() for p in pictures}) == 6
    assert min(len(np.unique(p.reshape(-1, 3), axis=0)) for p in pictures) < 700


def test_something_is_drawn_instead_of_beside_and_over_a_photograph() -> None:
    photo = picture(64, 64, seed=1)
    shares = np.array([(drawn.draw_over(random(seed), photo) == photo).all(2).mean() for seed in range(60)])
    assert (shares < 0.05).any() and ((shares > 0.05) & (shares < 0.6)).any() and (shares > 0.6).any()


@pytest.mark.parametrize("name", ["rescale_share", "color_share", "drawn_share"])
def test_shares_are_of_0_to_1(name: str) -> None:
    assert Augmentation(0.3, 0.2, 0.1) == tiny_settings(color_share=0.2, drawn_share=0.1).augmentation
    with pytest.raises(SettingsError, match=f"{name}=1.5"):
        tiny_settings(**{name: 1.5})


def test_the_basis_is_a_dct_of_decorrelated_colors() -> None:
    basis, deviations = block_basis(picture_set(), random(), 64)
    assert torch.allclose(basis @ basis.T, torch.eye(768), atol=1e-5)
    assert (deviations[1:] <= deviations[:-1]).all()
    blocks = basis.reshape(768, 3, 256)
    # Each row is one color times one pattern, and the patterns are the 256 of the DCT, three times each.
    _, strengths, _ = torch.linalg.svd(blocks)
    assert (strengths[:, 1:] < 1e-4).all()
    mean = basis.reshape(768, 3, 256).mean(2).norm(dim=1)
    assert int((mean > 1e-4).sum()) == 3
