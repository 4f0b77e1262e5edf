"""Whole pictures against pictures in tiles, with the shipped network: the margins hide the cuts, and are no larger."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tiny import picture

from vqcodec import coder as module
from vqcodec.codec import Codec
from vqcodec.decoder import showing
from vqcodec.exact.priors import StaticPrior
from vqcodec.exact.priors.tables import Choice
from vqcodec.exact.tiles import tiles_of
from vqcodec.image import Picture

WHOLE = 1 << 20
GRID = (24, 41)
QUALITIES = (10.0, 90.0)


@cache
def photo() -> Codec:
    """The codec of the shipped model."""
    return Codec.open()


@pytest.fixture(scope="module")
def pixels() -> npt.NDArray[np.uint8]:
    """A picture of 24 x 41 latents whose last row and column are not full."""
    return picture(16 * GRID[0] - 5, 16 * GRID[1] - 9, seed=8)


@pytest.fixture(scope="module")
def transparent() -> torch.nn.Module:
    """A network as the shipped one in which nothing is hidden: all weights are positive, so that no ReLU is shut."""
    network = copy.deepcopy(photo().network)
    for weight in network.parameters():
        weight.data.fill_(1 / weight[0].numel())
    return network


def reach(inputs: torch.Tensor, output: torch.Tensor, first: int, size: int) -> int:
    """How many cells before `first` or behind the `size` cells there an output depends on, along both axes."""
    (gradient,) = torch.autograd.grad(output.sum(), inputs)
    seen = gradient[0].abs().amax(0).nonzero()
    return max(first - int(seen.min()), int(seen.max()) - (first + size - 1))


def test_the_analysis_sees_as_far_as_its_margin_or_one_latent_less(transparent: Any) -> None:
    x = torch.ones(1, 3, 16 * 25, 16 * 25, requires_grad=True)
    z = transparent.analysis(x, torch.tensor([50.0]))[:, :, 12, 12]
    latents = -(-reach(x, z, 16 * 12, 16) // 16)
    assert latents <= transparent.analysis_margin <= latents + 1


def test_the_synthesis_sees_one_latent_less_than_its_margin(transparent: Any) -> None:
    """The one more is for the mode `smooth`, which interpolates latents before the network sees them."""
    z = torch.ones(1, photo().quantizer.d, 25, 25, requires_grad=True)
    x = transparent.synthesis(z, torch.tensor([50.0]))[:, :, 16 * 12 : 16 * 13, 16 * 12 : 16 * 13]
    assert reach(z, x, 12, 1) + 1 == transparent.synthesis_margin


def latents_in_tiles(pixels: npt.NDArray[np.uint8], quality: float, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """The latents that compress() hands to the choice of indices when it cuts a picture into tiles of 16."""
    monkeypatch.setattr(module, "TILE", 16)
    monkeypatch.setattr(module, "TILED_LATENTS", 16)
    codec, found = photo(), []

    def choose(z: npt.NDArray[np.float32], *_: object) -> Choice:
        found.append(z)
        classes = np.zeros(z.shape[1:] if isinstance(codec.prior, StaticPrior) else z.shape, np.uint8)
        indices = np.zeros((codec.prior.planes, *z.shape[1:]), np.uint16)
        return Choice(indices, classes, indices)

    monkeypatch.setattr(codec.encoder, "choose", choose)
    codec.compress(Picture(pixels), quality, effort=0)
    joined = torch.full((codec.quantizer.d, *GRID), torch.nan)
    for tile, z in zip(tiles_of(GRID, 16), found, strict=True):
        joined[:, tile.top : tile.bottom, tile.left : tile.right] = torch.from_numpy(z)
    return joined


@pytest.mark.parametrize("quality", QUALITIES)
def test_latents_of_tiles_are_those_of_the_whole_picture(
    quality: float, pixels: npt.NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = photo().analyze(pixels, quality)[0]
    assert whole.shape[1:] == GRID and whole.abs().max() > 10
    assert (latents_in_tiles(pixels, quality, monkeypatch) - whole).abs().max() < 1e-3
    monkeypatch.setattr(photo().network, "analysis_margin", 1)
    assert (latents_in_tiles(pixels, quality, monkeypatch) - whole).abs().max() > 2e-3


@pytest.mark.parametrize("quality", QUALITIES)
def test_pixels_of_tiles_are_those_of_the_whole_picture(
    quality: float, pixels: npt.NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = photo().encode(pixels, quality, effort=0)

    def decoded(tile: int, margin: int) -> npt.NDArray[np.int64]:
        monkeypatch.setattr(showing, "SYNTHESIS_TILE", tile)
        monkeypatch.setattr(photo().network, "synthesis_margin", margin)
        return photo().decode(encoded).astype(np.int64)

    margin = photo().network.synthesis_margin
    assert margin is not None
    whole = decoded(WHOLE, margin)
    assert whole.shape == pixels.shape
    assert np.abs(decoded(16, margin) - whole).max() <= 1
    assert np.abs(decoded(16, 1) - whole).max() > 1
