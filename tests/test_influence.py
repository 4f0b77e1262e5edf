"""What latents say of later ones: the gradient of training's networks, and a way to spend less."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from random_priors import latents, random_models
from tiny import picture

from vqcodec.choices import TRAINING_RATE_WEIGHT
from vqcodec.codec import Codec
from vqcodec.encoder import ContextEncoder
from vqcodec.encoder.choice import Latents
from vqcodec.encoder.influence import influence
from vqcodec.exact import model_file
from vqcodec.exact.priors import ContextPrior
from vqcodec.exact.priors.base import tensors_under
from vqcodec.exact.priors.context import PREFIX
from vqcodec.image import read_picture
from vqcodec.training.rate import context_rate
from vqcodec.training.rate.context_net import FloatWalk
from vqcodec.training.rate.context_rate import code
from vqcodec.training.rate.context_tensors import float_parent
from vqcodec.training.rate.pair_tables import written_tables

QUALITY = 90.0
SAMPLES = Path(__file__).parent.parent / "samples"


def alike(count: int) -> list[float]:
    """Shares of groups whose bits count alike."""
    return [1.0] * count


def both(patterns: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> tuple[Latents, Latents]:
    """What latents say of later ones under a random prior, and what autograd of training's networks makes of that."""
    plan = random_models.ContextPlan(
        "influence", groups=(4, 8, 6), embed=16, hidden=32, tables=40, deviation_classes=31, patterns=patterns
    )
    metadata, arrays = random_models.make_model(plan)
    prior = model_file.make_prior(metadata, arrays)
    assert isinstance(prior, ContextPrior)
    z = latents(prior.d, (9, 11), 2)
    encoder = ContextEncoder(prior)
    sought = encoder.seek(z, QUALITY, TRAINING_RATE_WEIGHT)
    mine = influence(prior, encoder.assigner, sought, z, QUALITY, TRAINING_RATE_WEIGHT)

    tensors = tensors_under(PREFIX, arrays)
    net = float_parent(metadata.prior_settings, tensors)
    net.integer = True
    scale = metadata.quantizer["scale"]
    assigner = written_tables(tensors).assigner(torch.from_numpy(arrays["codebook"]), scale)
    probe = torch.zeros(1, 9 * 11, prior.d, requires_grad=True)
    put = FloatWalk.put

    def put_probed(walk: FloatWalk, channels: slice, places: torch.Tensor, values: torch.Tensor) -> None:
        put(walk, channels, places, values + probe[:, places, channels].reshape(values.shape))

    monkeypatch.setattr(FloatWalk, "put", put_probed)
    monkeypatch.setattr(context_rate, "shares_of_rate", alike)
    seen = code(net, assigner, torch.from_numpy(z)[None], torch.tensor([prior.row(QUALITY)]))
    assert np.array_equal(seen.z_q[0].detach().numpy(), encoder.latents(sought.choice.codes))
    (gradient,) = torch.autograd.grad(seen.rate.sum(), probe)
    return mine, gradient[0].T.reshape(mine.shape).numpy()


def test_it_is_the_gradient_of_the_networks_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, autograd = both(("coarse",) * 3, monkeypatch)
    assert np.abs(autograd).max() > 1
    assert np.allclose(mine, autograd, rtol=1e-3, atol=1e-3 * np.abs(autograd).max())


def test_linear_predictions_come_back_to_the_latents_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autograd also has what is said by how rough neighbors are, and by what stands for those beyond an edge."""
    mine, autograd = both(("fine", "coarse", "coarse"), monkeypatch)
    inner = np.s_[:, 2:-2, 2:-2]
    assert np.corrcoef(mine[inner].ravel(), autograd[inner].ravel())[0, 1] > 0.99
    assert np.allclose(np.linalg.norm(mine[inner]), np.linalg.norm(autograd[inner]), rtol=0.05)


def test_latents_that_say_more_of_later_ones_cost_less() -> None:
    codec, pixels = Codec.open("photo"), read_picture(SAMPLES / "coffee.png").pixels[100:260, 200:392]
    weight, encoder = codec.rate_weight, codec.encoder
    for quality in (50.0, 70.0):
        z = codec.analyze(pixels, quality)[0].numpy()
        costs, moved = [], z
        for _ in range(2):
            sought = encoder.seek(moved, quality, weight)
            error = np.square(encoder.latents(sought.choice.codes) - z).sum()
            costs.append(float(error / weight + encoder.bits(sought.choice, quality)))
            moved = z - weight / 4 * encoder.influence(sought, z, quality, weight)
        assert costs[1] < 0.998 * costs[0]


def test_under_a_static_prior_latents_say_nothing_of_others(tiny_codec: Codec) -> None:
    z = tiny_codec.analyze(picture(32, 48, seed=1), 50.0)[0].numpy()
    sought = tiny_codec.encoder.seek(z, 50.0, 0.1)
    assert not tiny_codec.encoder.influence(sought, z, 50.0, 0.1).any()
