"""Quantizers whose codebook learns by gradient or as moving averages, whichever a run asks for."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vqcodec.errors import SettingsError
from vqcodec.quantizers.base import Learned
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.quantizers.learning.averages import MovingAverages, commitment_loss

Learn = Literal["loss", "ema"]


class Averaged(Learned):
    """A quantizer whose codebook learns by the gradient of `loss`, or as moving averages (`ema`).

    SettingsError for averages of indices that add up, which are those of depth 2.
    """

    def __init__(self, settings: QuantizerSettings, learn: Learn = "loss") -> None:
        super().__init__(settings)
        if learn == "ema" and settings.depth > 1:
            raise SettingsError(f"learn='ema' does not fit depth={settings.depth}; choose learn='loss' or depth 1")
        self.averages = MovingAverages(self.codebook[..., 0].numel()) if learn == "ema" else None

    def features(self, z: Tensor) -> Tensor:
        """Return z [B, d, h, w] as codevectors and loss see it."""
        return z

    def begin(self, z: Tensor, generator: torch.Generator) -> None:
        """Draw codevectors from z as codevectors see it."""
        super().begin(self.features(z), generator)

    def loss(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return VQ-VAE's loss; with moving averages only the commitment, which leaves the codebook alone."""
        features = self.features(z)
        if self.averages is None:
            return super().loss(features, z_q)
        return commitment_loss(features, z_q)

    def update(self, z: Tensor, indices: Tensor, usage: Tensor) -> None:
        """Move codevectors to the averages of what chose them."""
        if self.averages is None:
            return
        if self.settings.has_own_codebooks:
            indices = indices + self.K * torch.arange(self.m, device=indices.device)[:, None, None]
        self.averages.update(self.codebook.view(-1, self.d_star), self.features(self.expand(z)), indices)

    def note_usage(self, usage: Tensor) -> None:
        """Start the moving averages from a counted usage [K]; the codebook is then what they have averaged."""
        if self.averages is not None:
            counts = self.averages.counts.view(-1, self.K)
            counts.copy_(usage * counts.sum(1, keepdim=True))
