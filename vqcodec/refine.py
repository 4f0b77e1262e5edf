"""Search at the encoder: this one picture's latents, moved until bits and error together are least.

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

from vqcodec.networks.photo import GREY_LEVELS, PhotoNetwork, rate_lambda
from vqcodec.priors.tables import Decoded
from vqcodec.quantizers.base import RATE_WEIGHT

Slices = tuple[slice, slice]


class Scene:
    """What one tile is judged by: its picture with what surrounds it, and the latents of the surroundings.

    x: float32 [1, 3, 16 h', 16 w'] in [0, 1]; z: float32 [1, d, h', w'], latents of the analysis;
    inner: where in them the tile lies.
    """

    def __init__(self, network: PhotoNetwork, x: Tensor, z: Tensor, inner: Slices, quality: float) -> None:
        self.network, self.x, self.z, self.inner = network, x, z, inner
        self.quality = torch.tensor([quality])
        self.weight = rate_lambda(self.quality).item() * GREY_LEVELS**2 * x.shape[2] * x.shape[3]

    def distortion(self, latents: Tensor) -> tuple[float, Tensor]:
        """Return lambda 255^2 MSE in bits of the picture, for the tile's latents, and its gradient."""
        with torch.enable_grad():
            latents = latents.detach().clone().requires_grad_(True)
            whole = self.z.clone()
            whole[:, :, self.inner[0], self.inner[1]] = latents
            shown = self.network.synthesis(whole, self.quality).clamp(0, 1)
            error = self.weight * (shown - self.x).square().mean()
            (gradient,) = torch.autograd.grad(error, latents)
        return error.item(), gradient


def refine(
    scene: Scene,
    choose: Callable[[Tensor], Decoded],
    dequantise: Callable[[Decoded], Tensor],
    bits: Callable[[Decoded], float],
    steps: int,
) -> Decoded:
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
            chosen = choose(latents - RATE_WEIGHT / 2 * gradient)
    return best
