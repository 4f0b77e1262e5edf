"""Proximal steps at the encoder: this one picture's latents, moved until bits and error together are least.

The analysis is the same network for every picture; what it gives is not the best that could be
given to the decoder (Campos et al. 2019, Yang et al. 2020). Here the synthesis itself says where
the quantised latents should go: bits + lambda 255^2 MSE per picture is lowered by proximal
gradient steps. Gains are such that the error is about (latents - best)^2 / RATE_WEIGHT bits in every channel,
so a step goes RATE_WEIGHT / 2 times the gradient from the latents that the decoder has now, and
the usual choice of indices, by squared error plus weighted bits, is the proximal operator.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vqcodec.exact.priors.tables import Choice
from vqcodec.networks import Network
from vqcodec.networks.photo import GREY_LEVELS
from vqcodec.quantizers.layout.settings import RATE_WEIGHT

Slices = tuple[slice, slice]
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


def distortion(network: Network, x: Tensor, latents: Tensor, quality: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight [B] times the MSE of pictures x [B, 3, H, W] in [0, 1], and its gradient.

    latents [B, d, h, w] are what the decoder has; the gradient has their shape.
    """
    with torch.enable_grad():
        latents = latents.detach().clone().requires_grad_(True)
        error = weight * (network.synthesis(latents, quality).clamp(0, 1) - x).square().mean((1, 2, 3))
        (gradient,) = torch.autograd.grad(error.sum(), latents)
    return error.detach(), gradient


class Scene:
    """What one tile is judged by: its picture with what surrounds it, and the latents of the surroundings.

    x: float32 [1, 3, 16 h', 16 w'] in [0, 1]; z: float32 [1, d, h', w'], latents of the analysis;
    inner: where in them the tile lies.
    """

    def __init__(self, network: Network, x: Tensor, z: Tensor, inner: Slices, quality: float) -> None:
        self.network, self.x, self.z, self.inner = network, x, z, inner
        self.quality = torch.tensor([quality])
        self.steps = step_sizes(network, self.quality)
        self.weight = network.rate_lambda(self.quality) * GREY_LEVELS**2 * x.shape[2] * x.shape[3]

    def distortion(self, latents: Tensor) -> tuple[float, Tensor]:
        """Return lambda 255^2 MSE in bits of the picture, for the tile's latents, and its gradient."""
        rows, columns = self.inner
        whole = self.z.clone()
        whole[:, :, rows, columns] = latents
        error, gradient = distortion(self.network, self.x, whole, self.quality, self.weight)
        return error.item(), gradient[:, :, rows, columns]


def refine(
    scene: Scene,
    choose: Callable[[Tensor], Choice],
    dequantise: Callable[[Choice], Tensor],
    bits: Callable[[Choice], float],
    steps: int,
) -> Choice:
    """Return the best choice of indices after `steps` proximal steps from the analysis' latents.

    choose: latents [1, d, h, w] -> indices; dequantise: indices -> latents; bits: what indices cost.
    """
    chosen = best = choose(scene.z[:, :, scene.inner[0], scene.inner[1]])
    least = np.inf
    for step in tqdm(range(steps + 1), desc="refining", unit="step", leave=False, delay=2.0, disable=None):
        latents = dequantise(chosen)
        error, gradient = scene.distortion(latents)
        cost = bits(chosen) + error
        if cost < least:
            best, least = chosen, cost
        if step < steps:
            chosen = choose(latents - scene.steps * gradient)
    return best
