"""Latents as the encoder's proximal steps would leave them, for a batch; see vqcodec/encoder/proximal.py for why."""

from __future__ import annotations

import torch
from torch import Tensor

from vqcodec.choices import TRAINING_RATE_WEIGHT
from vqcodec.encoder.proximal import Distortion, proximal_steps, step_sizes
from vqcodec.networks import RatedNetwork
from vqcodec.networks.error import distortion_weight, error_of, error_slope
from vqcodec.training.rate.contract import Quantize


def refined(network: RatedNetwork, x: Tensor, z: Tensor, quality: Tensor, quantize: Quantize, steps: int) -> Tensor:
    """Return latents [B, d, h, w] for pictures x [B, 3, H, W] at qualities [B] after proximal steps from z.

    Each picture's best are returned, by bits + lambda 255^2 MSE: a step may fail. They are to be quantized.
    """
    if not steps:
        return z

    @torch.no_grad()
    def quantized(latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return latents, *quantize(latents)

    best, least = z, torch.full_like(quality, torch.inf)
    sizes = batch_step_sizes(network, quality)
    for latents, cost in proximal_steps(batch_distortion(network, x, quality), sizes, z, quantized, steps):
        bits = cost()
        better = bits < least
        best = torch.where(better[:, None, None, None], latents, best)
        least = torch.where(better, bits, least)
    return best


def batch_step_sizes(network: RatedNetwork, quality: Tensor) -> Tensor:
    """Return how far proximal steps go [B, d, 1, 1]."""
    sizes: Tensor = step_sizes(
        network.rate_lambda(quality)[:, None, None, None], network.gain(quality), TRAINING_RATE_WEIGHT
    ).detach()
    return sizes


def batch_distortion(network: RatedNetwork, x: Tensor, quality: Tensor) -> Distortion:
    """Return what latents [B, d, h, w] of pictures x [B, 3, H, W] cost in bits [B]."""
    weight = distortion_weight(network, quality).detach()

    @torch.no_grad()
    def value(latents: Tensor) -> Tensor:
        return weight * error_of(network, latents, x, quality).square().sum((1, 2, 3))

    def slope(latents: Tensor) -> tuple[Tensor, Tensor]:
        error, gradient = error_slope(network, latents, x, quality)
        return weight * error.square().sum((1, 2, 3)), 2 * weight[:, None, None, None] * gradient

    return Distortion(value, slope)
