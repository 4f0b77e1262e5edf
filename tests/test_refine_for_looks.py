"""Steps of a model for looks: between what its analysis says and the least squared error, and never far away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tiny import picture_set

from vqcodec.coder import Coder, quick_coder
from vqcodec.encoder.choice import Encoder, Latents, Sought
from vqcodec.encoder.looks import refine_for_looks
from vqcodec.encoder.proximal import Distortion, whole_sizes
from vqcodec.evaluation.metrics import psnr
from vqcodec.exact import model_file
from vqcodec.exact.priors.tables import Choice
from vqcodec.image import Picture, read_picture
from vqcodec.networks.photo import PhotoNetwork
from vqcodec.training.photo.basis import block_basis
from vqcodec.training.photo.refined import batch_distortion

SAMPLE = Path(__file__).parent.parent / "samples" / "coffee.png"


class Thousandths(Encoder):
    """An encoder of whole thousandths, which are nearly what is wanted."""

    def choose(self, z: Latents, quality: float, weight: float) -> Choice:
        raise AssertionError("a search asks for what is chosen where all bits count alike")

    def seek(self, z: Latents, quality: float, weight: float) -> Sought:
        return Sought(Choice(np.zeros(0, np.uint16), np.zeros(0, np.uint8), np.rint(1000 * z)))

    def latents(self, codes: npt.NDArray[Any]) -> Latents:
        return (codes / 1000).astype(np.float32)


def end(start: float, least_error: float, steps: int, slope: float = 3.0) -> float:
    """Where steps from an analysis at `start` end, if the error in bits is slope / 2 times a squared distance."""
    distortion = Distortion(lambda z: 0.0, lambda z: (0.0, slope * (z - least_error)))
    z = np.full((1, 1, 1), start, np.float32)
    choice = refine_for_looks(Thousandths(), z, distortion, np.float32(1 / slope), 50.0, 0.1, steps)
    return float(choice.codes.item()) / 1000


@pytest.mark.parametrize("slope", [0.5, 3.0, 100.0])
def test_latents_end_between_the_analysis_and_the_least_error_whatever_it_costs(slope: float) -> None:
    assert end(2.0, 2.8, 30, slope) == pytest.approx(2.56, abs=0.01)


def test_latents_stay_near_the_analysis_where_the_least_error_is_far_away() -> None:
    assert end(0.0, 1000.0, 100) == pytest.approx(0.7 / 0.3, abs=0.05)
    assert end(0.0, 1000.0, 1) == pytest.approx(0.85 * 0.7, abs=0.001)


def test_without_steps_the_analysis_stands() -> None:
    assert end(0.25, 1.0, 0) == 0.25


@pytest.fixture(scope="module")
def coder() -> Coder:
    """The coder of the shipped model for looks."""
    return quick_coder(*model_file.load(model_file.resolve("perceptual")))


def test_behind_a_basis_of_unit_length_a_step_leads_to_the_least_error() -> None:
    network, random = PhotoNetwork(24, (8, 8, 8, 8)), np.random.default_rng(3)
    network.set_basis(*block_basis(picture_set(), random, 64))
    network.requires_grad_(False)
    x, quality = 0.25 + 0.5 * picture_set().crops(random, 2, 64), torch.tensor([30.0, 70.0])
    z = network.analysis(x, quality)
    moved = z + 0.1 * torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    sizes = whole_sizes(network.rate_lambda(quality)[:, None, None, None], network.gain(quality))
    gradient = batch_distortion(network, x, quality).slope(moved)[1]
    assert torch.allclose(sizes * gradient, moved - z, atol=0.01)


@pytest.mark.parametrize("quality", [25.0, 60.0])
def test_more_effort_shows_a_picture_better_for_its_bytes(coder: Coder, quality: float) -> None:
    picture = read_picture(SAMPLE)
    picture = Picture(picture.pixels[64:256, 128:384])
    found = []
    for effort in (1, 3, 7):
        data = coder.compress(picture, quality, effort=effort)
        found.append((len(data), psnr(picture.pixels, coder.decompress(data).pixels)))
    # 6 dB are two bits of each value that has any, so a percent of bytes is worth 0.05 dB.
    worth = [db - 0.05 * 100 * (size / found[0][0] - 1) for size, db in found]
    assert worth[1] > worth[0] + 0.15 and worth[2] > worth[1]
