"""Small building blocks that the networks share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn


def conv3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """Return a 3 x 3 convolution that keeps (stride 1) or divides (stride n) the grid."""
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


def to_signed(x: Tensor) -> Tensor:
    """Return values of [0, 1] as values of [-1, 1]."""
    return 2 * x - 1


def from_signed(y: Tensor) -> Tensor:
    """Return values of [-1, 1] as values of [0, 1]."""
    return (y + 1) / 2


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))), with a small second convolution at the start of training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv3(channels, channels)
        self.second = conv3(channels, channels)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.second.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the shape of x [B, C, h, w]."""
        change: Tensor = self.second(torch.relu(self.first(torch.relu(x))))
        return x + change


class Modulation(nn.Module):
    """Scale and shift per channel as a smooth function of quality, one pair for each stage.

    Starts as the identity. Lets one network serve every rate: how strongly the synthesis
    must smooth depends on the quantizer step, which depends on the quality.
    """

    def __init__(self, widths: tuple[int, ...], hidden: int = 32) -> None:
        super().__init__()
        self.widths = widths
        self.hidden = nn.Linear(1, hidden)
        self.out = nn.Linear(hidden, 2 * sum(widths))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, quality: Tensor) -> list[Callable[[Tensor], Tensor]]:
        """Return one function [B, C, h, w] -> [B, C, h, w] per stage for qualities [B] in 1..100."""
        position = (quality / 50.0 - 1.0).unsqueeze(1)
        scale_shift = self.out(torch.tanh(self.hidden(position)))
        stages: list[Callable[[Tensor], Tensor]] = []
        for pair in scale_shift.split([2 * width for width in self.widths], dim=1):
            scale, shift = pair[:, :, None, None].chunk(2, dim=1)
            stages.append(partial(_modulate, scale, shift))
        return stages


def _modulate(scale: Tensor, shift: Tensor, x: Tensor) -> Tensor:
    return x * (1 + scale) + shift
