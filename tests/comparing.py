"""Pictures, copies that differ from them, and gradients: what tests of losses compare."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor, nn

Pixels = npt.NDArray[np.uint8]


def batch(*pictures: Pixels) -> Tensor:
    """Pictures as float32 [B, 3, H, W] in 0..1."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255


def noisy(pixels: Pixels, deviation: float, seed: int = 0) -> Pixels:
    """A copy with noise of the given deviation in gray levels."""
    noise = np.random.default_rng(seed).normal(0, deviation, pixels.shape)
    return (pixels + noise).round().clip(0, 255).astype(np.uint8)


def blurred(pixels: Pixels, deviation: float) -> Pixels:
    """A smooth copy."""
    smooth: Pixels = ndimage.gaussian_filter(pixels.astype(np.float64), (deviation, deviation, 0)).round().astype("u1")
    return smooth


def gradient(loss: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The gradient of a loss for y."""
    y = y.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(x, y), y)
    return found
