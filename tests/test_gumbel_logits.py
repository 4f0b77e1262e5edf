"""Gumbel with logits of its own: the latents are logits, and the codebook is the corners of the simplex."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vqcodec import quantizers
from vqcodec.errors import SettingsError
from vqcodec.quantizers import Fixed, QuantizerSettings
from vqcodec.quantizers.learning.noise import gumbel
from vqcodec.quantizers.learning.posterior import Divergence
from vqcodec.training.papers.loop import Autoencoder
from vqcodec.training.papers.settings import AutoencoderSettings

K = 12


def make(**options: Any) -> Any:
    torch.manual_seed(0)
    settings = QuantizerSettings("gumbel", K=K, m=1, d_star=K)
    return quantizers.build(settings, {"logits": "own", "start": 0.7, "end": 0.7} | options).train()


def latents(seed: int = 1) -> Tensor:
    return 2 * torch.randn(2, K, 3, 5, generator=torch.Generator().manual_seed(seed))


def test_the_index_is_that_of_the_largest_logit_in_training_and_in_a_file() -> None:
    quantizer, z = make(), latents()
    expected = z.argmax(1, keepdim=True)
    assert torch.equal(quantizer(z).indices, expected)
    fixed = Fixed(quantizer.settings, quantizer.codevectors().detach())
    assert torch.equal(fixed.encode(z), expected) and torch.equal(quantizer.eval()(z).indices, expected)
    assert torch.equal(fixed.decode(expected), F.one_hot(expected[:, 0], K).movedim(-1, 1).float())


@pytest.mark.parametrize("hard", [False, True])
def test_samples_and_loss_are_those_of_a_softmax_of_the_logits(hard: bool) -> None:
    """As taming-transformers has them: gumbel_softmax(logits, tau, hard), weight * KL(softmax(logits) || uniform)."""
    quantizer, z = make(hard=hard, weight=0.3), latents().requires_grad_()
    logits = z.movedim(1, -1).reshape(-1, K)
    noise = gumbel(len(logits), K, quantizer.noise.seed(), z.device)
    quantized = quantizer(z)
    weights = ((logits + noise) / 0.7).softmax(1)
    sample = F.one_hot(weights.argmax(1), K).float() if hard else weights
    assert torch.allclose(quantized.z_q.movedim(1, -1).reshape(-1, K), sample, atol=1e-5)
    posterior = logits.softmax(1)
    divergence = (posterior * (posterior * K + 1e-10).log()).sum(1).mean()
    assert float(quantized.loss.detach()) == pytest.approx(0.3 * float(divergence.detach()), rel=1e-4)
    direction = torch.randn(quantized.z_q.shape, generator=torch.Generator().manual_seed(4))
    (found,) = torch.autograd.grad((quantized.z_q * direction).sum(), z, retain_graph=True)
    flat = direction.movedim(1, -1).reshape(-1, K)
    (expected,) = torch.autograd.grad((weights * flat).sum(), z)
    assert torch.allclose(found, expected, atol=1e-5), "straight through: the gradient of the soft weights"


def test_the_corners_learn_nothing_and_stay_where_they_are() -> None:
    quantizer, z = make(), latents()
    assert not [name for name, weights in quantizer.named_parameters() if weights.requires_grad]
    quantizer.begin(z, torch.Generator())
    quantizer.cluster(z)
    assert torch.equal(quantizer.codevectors(), torch.eye(K)) and isinstance(quantizer.measure, Divergence)


def test_the_network_makes_the_logits_by_a_convolution_of_one_by_one() -> None:
    settings = AutoencoderSettings(quantizer="gumbel", K=K, d=K, options={"logits": "own"})
    state = Autoencoder(settings, torch.device("cpu"))
    assert state.network.get_submodule(state.network.latent_layer).weight.shape == (K, 128, 1, 1)
    with pytest.raises(SettingsError, match="d=8 is not K=12, choose them alike"):
        quantizers.build(QuantizerSettings("gumbel", K=12, m=1, d_star=8), {"logits": "own"})
