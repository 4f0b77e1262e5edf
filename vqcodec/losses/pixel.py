"""Differences of single samples: L1 and L2."""

from __future__ import annotations

from torch import Tensor, nn


class L1(nn.Module):
    """The mean absolute difference."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scalar for originals x and reconstructions y float32 [B, 3, H, W]."""
        return (y - x).abs().mean()


class L2(nn.Module):
    """The mean squared difference."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scalar for originals x and reconstructions y float32 [B, 3, H, W]."""
        return (y - x).square().mean()
