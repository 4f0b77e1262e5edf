"""The encoder's proximal steps: never a worse file than at their start, and the decoder does not notice."""

from __future__ import annotations

import io
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tiny import picture, picture_set

from vqcodec.choices import steps_of
from vqcodec.codec import Codec
from vqcodec.encoder import proximal
from vqcodec.encoder.choice import Encoder, Latents, Sought
from vqcodec.encoder.proximal import Distortion, refine
from vqcodec.errors import SettingsError
from vqcodec.exact.bitstream import container
from vqcodec.exact.priors.tables import Choice
from vqcodec.networks.photo import PhotoNetwork
from vqcodec.training.photo.basis import block_basis
from vqcodec.training.photo.refined import batch_distortion, batch_step_sizes, refined


def cost(codec: Codec, pixels: npt.NDArray[np.uint8], quality: float, effort: int) -> float:
    """Bits + lambda 255^2 MSE of a real file; the encoder counts the same but for rounding to gray levels."""
    encoded = codec.encode(pixels, quality, effort)
    shown = codec.decode(codec.unpack(container.read(codec.pack(encoded))))
    error = np.square(shown.astype(np.float64) - pixels).sum() / 3
    weight = codec.network.rate_lambda(torch.tensor([quality]))
    return sum(codec.prior.bits(encoded.choice.indices, encoded.choice.classes, quality)) + float(weight) * error


@pytest.mark.parametrize("quality", [20.0, 50.0, 80.0])
def test_more_effort_costs_no_more(tiny_codec: Codec, quality: float) -> None:
    pixels = picture(64, 96, seed=5)
    costs = [float(cost(tiny_codec, pixels, quality, effort)) for effort in (1, 3, 7)]
    assert costs[1] <= 1.002 * costs[0] and costs[2] <= 1.002 * costs[1]


def test_effort_is_ordered_and_checked(tiny_codec: Codec) -> None:
    for is_for_error in (True, False):
        steps = [steps_of(effort, is_for_error) for effort in range(10)]
        assert steps == sorted(steps) and steps[1] == 0 and steps[2] > 0
    for effort in (-1, 10):
        with pytest.raises(SettingsError, match=r"0\.\.9"):
            tiny_codec.encode(picture(16, 16, seed=1), 50, effort)


def test_refined_latents_are_never_worse_than_those_of_the_analysis() -> None:
    network, random = PhotoNetwork(24, (8, 8, 8, 8)), np.random.default_rng(3)
    network.set_basis(*block_basis(picture_set(), random, 64))
    network.requires_grad_(False)
    x, quality = picture_set().crops(random, 3, 64), torch.tensor([20.0, 50.0, 90.0])
    z = network.analysis(x, quality)

    def quantize(latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        integers = latents.round()
        return integers, (1 + integers.abs()).log2().sum((1, 2, 3))

    def costs(latents: torch.Tensor) -> torch.Tensor:
        z_q, bits = quantize(latents)
        error = (network.synthesis(z_q, quality).clamp(0, 1) - x).square().mean((1, 2, 3))
        return bits + network.rate_lambda(quality) * 255.0**2 * 64 * 64 * error

    better = refined(network, x, z, quality, quantize, 4)
    assert (costs(better) <= costs(z)).all() and (costs(better) < costs(z)).any()
    assert torch.equal(refined(network, x, z, quality, quantize, 0), z)


@pytest.mark.parametrize("lowered", [0.0, 0.7, 1.5])
def test_steps_in_channels_of_lowered_gains_do_not_go_too_far(lowered: float) -> None:
    network, random = PhotoNetwork(24, (8, 8, 8, 8)), np.random.default_rng(3)
    network.set_basis(*block_basis(picture_set(), random, 64))
    network.requires_grad_(False)
    network.log_gain[:, :4] -= lowered
    x, quality = picture_set().crops(random, 2, 64), torch.tensor([30.0, 95.0])
    z = network.analysis(x, quality)
    distortion, sizes = batch_distortion(network, x, quality), batch_step_sizes(network, quality)
    least = distortion.value(z)
    z = z + torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    errors = []
    for _ in range(5):
        error, gradient = distortion.slope(z)
        errors.append(error - least)
        z = z - sizes * gradient
    assert all((after < 0.7 * before).all() for before, after in pairwise(errors))


class Counting(Encoder):
    """An encoder of whole numbers, each of which costs a bit, and how often an error alone was asked for."""

    measured = 0

    def choose(self, z: Latents, quality: float, weight: float) -> Choice:
        return Choice(np.zeros(0, np.uint16), np.zeros(0, np.uint8), np.rint(z))

    def latents(self, codes: npt.NDArray[Any]) -> Latents:
        return codes.astype(np.float32)

    def bits(self, choice: Choice, quality: float) -> float:
        return 0.0

    def value(self, z: Latents) -> float:
        self.measured += 1
        return float(np.square(z - 5).sum())

    def slope(self, z: Latents) -> tuple[float, Latents]:
        return float(np.square(z - 5).sum()), 2 * (z - 5)


def found(encoder: Counting, size: float, steps: int, start: float = 0.0) -> float:
    """The number that steps of a size end at, from one of `start`."""
    z = np.full((1, 1, 1), start, np.float32)
    choice = refine(encoder, z, Distortion(encoder.value, encoder.slope), np.float32(size), 50.0, 0.1, steps)
    return float(choice.codes.item())


@pytest.mark.parametrize(
    ("size", "steps", "measured", "best"),
    [(0.25, 3, 0, 4.0), (0.25, 1, 1, 2.0), (1.25, 2, 1, 0.0), (0.25, 0, 1, 0.0)],
)
def test_a_last_step_is_measured_unless_the_one_before_it_has_helped(
    size: float, steps: int, measured: int, best: float
) -> None:
    encoder = Counting()
    assert (found(encoder, size, steps), encoder.measured) == (best, measured)


def test_steps_that_overshoot_end_between_where_they_lead() -> None:
    """A whole step leads from 0 to 10, and from there to 0."""
    assert found(Counting(), 1.0, 3) == 5.0


def test_a_step_too_small_for_another_index_adds_to_the_next() -> None:
    """From 0.3, steps that lead to at most 0.6 of what was quantized to 0."""
    assert found(Counting(), 0.05, 1, start=0.3) == 0.0
    assert found(Counting(), 0.06, 2, start=0.3) == 1.0


class Pulled(Counting):
    """A Counting encoder without an error, each of whose numbers says of later ones how much they would cost."""

    def __init__(self, bits_per_step: float) -> None:
        self.bits_per_step, self.asked = bits_per_step, list[float]()

    def choose(self, z: Latents, quality: float, weight: float) -> Choice:
        raise AssertionError("a search asks for what is chosen where all bits count alike")

    def seek(self, z: Latents, quality: float, weight: float) -> Sought:
        self.asked.append(round(float(z.item()), 3))
        return Sought(super().choose(z, quality, weight))

    def influence(self, sought: Sought, z: Latents, quality: float, weight: float) -> Latents:
        return np.full_like(z, self.bits_per_step)

    def slope(self, z: Latents) -> tuple[float, Latents]:
        return 0.0, np.zeros_like(z)


@pytest.mark.parametrize(("bits_per_step", "first"), [(0.4, -0.128), (-0.4, 0.128), (50.0, -0.17), (-1e6, 0.17)])
def test_a_latent_goes_where_later_ones_cost_less_by_part_of_a_step_at_most(bits_per_step: float, first: float) -> None:
    encoder = Pulled(bits_per_step)
    found(encoder, 0.25, 1)
    assert encoder.asked == [0.0, first]


class Terminal(io.StringIO):
    """A stream that a bar is drawn on."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "seconds", "drawn"), [(Terminal, 0, True), (Terminal, 60, False), (io.StringIO, 0, False)]
)
def test_a_bar_is_drawn_on_a_terminal_once_steps_have_taken_long(
    stream: type[io.StringIO], seconds: float, drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setattr(proximal, "_PATIENCE_SECONDS", seconds)
    assert list(proximal.with_bar(iter(range(3)), 3)) == [0, 1, 2]
    assert ("refining" in sys.stderr.getvalue()) == drawn
