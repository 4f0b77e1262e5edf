"""Gains tilted by bands: which channel is in which band, and that the context prior expects what comes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tiny import TINY_CONTEXT, picture_set, tiny_settings
from torch import Tensor

from vqcodec.errors import SettingsError
from vqcodec.networks.photo import PhotoNetwork
from vqcodec.training.photo.loop import Trainer
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.photo.tilt import BANDS, LOWEST, band_shares, slope, tilt_gains
from vqcodec.training.rate.context_net import CLASSES_PER_OCTAVE, ContextNet
from vqcodec.training.recipe import make_settings


def wave(cycles: float, color: tuple[float, float, float]) -> Tensor:
    """A basis vector [3, 16, 16] of one frequency along the rows and one color."""
    line = torch.cos(2 * math.pi * cycles * torch.arange(16) / 16)
    return torch.tensor(color)[:, None, None] * line.expand(16, 16)


def test_channels_are_in_the_band_of_their_frequency_and_color() -> None:
    gray, blue = (1.0, 1.0, 1.0), (-1.0, -1.0, 2.0)
    basis = torch.stack([wave(0, gray), wave(1, gray), wave(2, gray), wave(3, gray), wave(6, gray)])
    basis = torch.cat([basis, torch.stack([wave(0, blue), wave(1, blue), wave(4, blue)])])
    shares = band_shares(basis)
    assert tuple(shares) == BANDS
    assert torch.allclose(torch.stack([shares[name] for name in BANDS]), torch.eye(8), atol=1e-5)


def test_shares_add_up_to_one() -> None:
    basis = torch.randn(20, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(torch.stack(list(band_shares(basis).values())).sum(0), torch.ones(20))


def test_tilted_gains_scale_latents_and_undo_it_again() -> None:
    torch.manual_seed(0)
    network = PhotoNetwork(24, (8, 8, 8, 8))
    basis = torch.linalg.qr(torch.randn(768, 768))[0]
    network.set_basis(basis, torch.ones(768))
    x, quality = torch.rand(1, 3, 32, 32), torch.tensor([50.0])
    with torch.no_grad():
        before = network.analysis(x, quality)
        picture = network.synthesis(before, quality)
        tilt_gains(network, (), dict.fromkeys(BANDS, 0.5))
        after = network.analysis(x, quality)
        assert torch.allclose(after, before * math.exp(0.5), rtol=1e-4, atol=1e-4)
        assert torch.allclose(network.synthesis(after, quality), picture, atol=1e-4)


def test_a_context_prior_expects_latents_of_the_new_scale() -> None:
    torch.manual_seed(0)
    scaled, anew = ContextNet((2, 4), 3, 8, 8), ContextNet((2, 4), 3, 8, 8)
    deviations, factors = torch.rand(3, 6) * 20 + 1, torch.tensor([0.5, 2.0, 1.0, 4.0, 1.0, 0.25])
    scaled.set_spread(deviations)
    anew.set_spread(deviations * factors)
    biases = [net.bias_out[:, net.n :].clone() for net in scaled.nets]
    scaled.scale_spread(factors.expand(3, -1))
    assert torch.allclose(scaled.spread, anew.spread, rtol=0, atol=4 / 2 + 0.5)  # four times a rounding, and another
    for net, bias, change in zip(scaled.nets, biases, factors.log2().split([2, 4]), strict=True):
        assert torch.allclose(net.bias_out[:, net.n :], bias + CLASSES_PER_OCTAVE * change)


def test_the_lowest_quality_moves_most_and_the_highest_not_at_all() -> None:
    torch.manual_seed(0)
    network, context = PhotoNetwork(6, (8, 8, 8, 8)), ContextNet((2, 4), 4, 8, 8)
    quality = torch.tensor([1.0, 34.0, 67.0, 100.0])
    expected = torch.exp(torch.tensor([-0.6, -0.4, -0.2, 0.0]))[:, None]
    gains, spread = network.gain(quality)[:, :, 0, 0], context.spread.clone()
    tilt_gains(network, (context,), {LOWEST: -0.6})
    assert torch.allclose(network.gain(quality)[:, :, 0, 0], gains * expected)
    assert torch.allclose(
        context.spread, ((spread / 16).square() - 0.25).mul(expected**2).add(0.25).sqrt() * 16, atol=0.5
    )
    assert torch.allclose(slope(network, quality, {LOWEST: -0.6}), network.rate_lambda(quality) * expected[:, 0] ** 2)


@pytest.mark.parametrize("prior", ["static", "context"])
def test_a_run_starts_from_a_model_with_tilted_gains(
    prior: str, tiny_model: Path, context_model: Path, tmp_path: Path
) -> None:
    model, changes = {"static": (tiny_model, {}), "context": (context_model, TINY_CONTEXT)}[prior]
    runs = []
    for tilt in ({}, {"luma0": 0.5, "chroma2": -0.5}):
        state = TrainingState(tiny_settings(init=str(model), tilt=tilt, **changes), torch.device("cpu"))
        Trainer(state, picture_set(), picture_set(), tmp_path / "checkpoint").start()
        runs.append(state)
    change = runs[1].network.log_gain - runs[0].network.log_gain
    shares = band_shares(runs[0].network.block_synthesis)
    assert torch.allclose(change, (0.5 * shares["luma0"] - 0.5 * shares["chroma2"]).expand_as(change), atol=1e-5)
    first, second = (next(iter(state.rate.networks), None) for state in runs)
    if first is not None and second is not None:
        assert not torch.equal(first.spread, second.spread)


@pytest.mark.parametrize(
    ("tilt", "said"),
    [
        ({"luma9": 0.1}, "no band 'luma9'"),
        ({"luma0": 3.0}, "luma0=3.0 is outside"),
        ({"luma0": 0.1}, "name it with init"),
    ],
)
def test_bad_tilts_are_refused(tilt: dict[str, float], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        make_settings(None, {"tilt": tilt})
