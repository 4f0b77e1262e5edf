"""The contract that every network keeps: a pair of analysis and synthesis."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn


class Network(nn.Module, ABC):
    """Base class: pictures float32 [B, 3, H, W] in [0, 1] to latents z float32 [B, d, h, w] and back.

    stride: pixels to a latent along each side, H = stride * h and W = stride * w;
    channels: what the network itself sees, 3, or 1 for gray pictures, whose three channels are equal;
    has_rates: whether quality changes the rate; where not, quality is ignored and an encoder takes
    the nearest codevectors, as in training;
    analysis_margin, synthesis_margin: how many latents around a tile each can see, None for the
    whole picture, which is then never cut into tiles;
    synthesis_names: how the names of parameters begin that only the synthesis has;
    last_layer: the name of the weights that the synthesis ends with;
    latent_layer: the name of the convolution that makes the latents, "" where several things add up to them.
    """

    has_rates: bool = False
    stride: int
    d: int
    channels: int = 3
    analysis_margin: int | None
    synthesis_margin: int | None
    synthesis_names: tuple[str, ...]
    last_layer: str
    latent_layer: str = ""

    @abstractmethod
    def analysis(self, x: Tensor, quality: Tensor) -> Tensor:
        """Return latents z float32 [B, d, h, w] for x [B, 3, H, W] in [0, 1] at qualities [B] in 1..100."""

    @abstractmethod
    def synthesis(self, z: Tensor, quality: Tensor) -> Tensor:
        """Return a picture [B, 3, H, W] (about [0, 1], not clamped) from latents z [B, d, h, w]."""

    def rate_lambda(self, quality: Tensor) -> Tensor:
        """Return the weight [B] of 255^2 * MSE against bits per pixel at qualities [B]: 0 without rates."""
        return torch.zeros(len(quality), device=quality.device)

    def gain(self, quality: Tensor) -> Tensor:
        """Return steps per gray level [B, d, 1, 1] at qualities [B] in 1..100: 1 in a network without rates."""
        return torch.ones(len(quality), self.d, 1, 1, device=quality.device)

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return plain values for the model file, the name among them, from which networks.build makes it again."""
