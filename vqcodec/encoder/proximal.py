"""Proximal steps at the encoder: this one picture's latents, moved until bits and error together are least.

The analysis is the same network for every picture; what it gives is not the best that could be
given to the decoder (Campos et al. 2019, Yang et al. 2020). Here the synthesis itself says where
the quantized latents should go: bits + lambda 255^2 MSE per picture is lowered by proximal
gradient steps. Gains are such that the error is about (latents - best)^2 / RATE_WEIGHT bits in every channel,
so a step goes RATE_WEIGHT / 2 times the gradient from the latents that the decoder has now, and
the usual choice of indices, by squared error plus weighted bits, is the proximal operator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from vqcodec.encoder.choice import Encoder
from vqcodec.exact.priors.tables import Choice
from vqcodec.networks import Network
from vqcodec.networks.rated import GRAY_LEVELS
from vqcodec.quantizers.layout.settings import RATE_WEIGHT

T = TypeVar("T")
Slices = tuple[slice, slice]
EVERYWHERE: Slices = (slice(None), slice(None))
# The gradient of (z - best)^2 / RATE_WEIGHT is 2 (z - best) / RATE_WEIGHT: half of RATE_WEIGHT leads to the best.
_STEP = RATE_WEIGHT / 2
_DEAR = 1.5


def step_sizes(network: Network, quality: Tensor) -> Tensor:
    """Return how far a proximal step goes against the gradient of the error in bits, [B, d, 1, 1].

    In a basis of unit length an error of one latent step costs lambda / (3 gain^2) bits. Where that is more than
    1.5 / RATE_WEIGHT, as in channels whose gains were lowered to keep latents within reach, the usual step would go
    too far; where it is more than twice as much, further away each time.
    """
    cost = network.rate_lambda(quality)[:, None, None, None] / (3 * network.gain(quality).square())
    return _STEP / (RATE_WEIGHT / _DEAR * cost).clamp(min=1)


class Scene:
    """What latents are judged by: pictures with what surrounds their tiles, and the latents of the surroundings.

    x: float32 [B, 3, 16 h', 16 w'] in [0, 1]; quality: float32 [B]; z: float32 [B, d, h', w'], latents of the
    analysis; inner: where in them the tiles lie, which are all that moves.
    """

    def __init__(self, network: Network, x: Tensor, quality: Tensor, z: Tensor, inner: Slices = EVERYWHERE) -> None:
        self.network, self.x, self.quality, self.z, self.inner = network, x, quality, z.detach(), inner
        self.step_sizes = step_sizes(network, quality)
        self.weight = network.rate_lambda(quality) * GRAY_LEVELS**2 * x.shape[2] * x.shape[3]

    @property
    def start(self) -> Tensor:
        """The latents [B, d, h, w] of the tiles as the analysis gives them."""
        return self.z[(..., *self.inner)]

    def distortion(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return lambda 255^2 MSE of the pictures in bits [B], and its gradient.

        latents [B, d, h, w] are what the decoder has of the tiles; the gradient has their shape.
        """
        # Surroundings stay at the analysis' latents: their own tiles are not chosen yet, or already written.
        whole = self.z.clone()
        whole[(..., *self.inner)] = latents
        with torch.enable_grad():
            whole.requires_grad_(True)
            # Clamped as a decoder does: what lies beyond black or white costs nothing and must not pull.
            shown = self.network.synthesis(whole, self.quality).clamp(0, 1)
            error = self.weight * (shown - self.x).square().mean((1, 2, 3))
            (gradient,) = torch.autograd.grad(error.sum(), whole)
        return error.detach(), gradient[(..., *self.inner)]


def proximal_steps(
    scene: Scene, z: Tensor, quantize: Callable[[Tensor], tuple[T, Tensor, Tensor]], steps: int
) -> Iterator[tuple[T, Tensor]]:
    """Yield what was made of latents z [B, d, h, w] and its cost [B] in bits, first of all and after each of the steps.

    quantize: latents -> whatever the caller keeps of them, what a decoder has [B, d, h, w], and their bits [B].
    A step may fail, so the last is not always the best.
    """
    for step in range(steps + 1):
        with torch.no_grad():
            kept, decoded, bits = quantize(z)
        error, gradient = scene.distortion(decoded)
        yield kept, bits + error
        if step < steps:
            # From what the decoder has, not from z: a step is taken where the error was measured.
            z = decoded.detach() - scene.step_sizes * gradient


def refine(scene: Scene, encoder: Encoder, steps: int) -> Choice:
    """Return the best choice for a scene of one picture after `steps` proximal steps from the analysis' latents."""
    quality = scene.quality.item()

    def quantize(z: Tensor) -> tuple[Choice, Tensor, Tensor]:
        choice = encoder.choose(z, quality, RATE_WEIGHT)
        # Bits of a large picture are more than float32 counts one by one.
        bits = torch.tensor([encoder.bits(choice, quality)], dtype=torch.float64)
        return choice, encoder.latents(choice.codes), bits

    found = proximal_steps(scene, scene.start, quantize, steps)
    watched: Iterable[tuple[Choice, Tensor]] = tqdm(
        found, desc="refining", total=steps + 1, unit="step", leave=False, delay=2.0, disable=None
    )
    return min(watched, key=lambda step: step[1].item())[0]
