"""What a synthesis does wrong in pictures, and where latents would do better; for proximal steps."""

from __future__ import annotations

import torch
from torch import Tensor

from vqcodec.networks.base import Network
from vqcodec.transform import GRAY_LEVELS


def error_of(network: Network, latents: Tensor, x: Tensor, quality: Tensor) -> Tensor:
    """Return what the synthesis of latents [B, d, h, w] has more than x float32 [B, 3, H, W] in [0, 1]."""
    # Clamped as a decoder does: what lies beyond black or white costs nothing and must not pull.
    return network.synthesis(latents, quality).clamp(0, 1) - x


def error_slope(network: Network, latents: Tensor, x: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
    """Return the error, and the gradient [B, d, h, w] of half the sum of its squares to the latents."""
    with torch.enable_grad():
        moved = latents.detach().requires_grad_(True)
        error = error_of(network, moved, x, quality)
        (slope,) = torch.autograd.grad(error.square().sum() / 2, moved)
    return error.detach(), slope


def distortion_weight(network: Network, quality: Tensor) -> Tensor:
    """Return what the sum of squares over a picture's pixels and colors counts [B], in bits: lambda 255^2 / 3."""
    return network.rate_lambda(quality) * GRAY_LEVELS**2 / 3
