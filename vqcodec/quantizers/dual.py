"""Dual Codebook VQ: a global codebook that a Transformer refines, and a plain local one.

"Dual Codebook VQ: Enhanced Image Reconstruction with Reduced Codebook Size", section 3.3. The first half of the
channels is matched with the global codebook after a Transformer encoder has let its K codevectors see each
other, so that one step moves them all; the second half is matched with the local codebook as it is. Once
training is over the refined codebook is a constant, and the Transformer is gone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vqcodec.errors import SettingsError
from vqcodec.quantizers.base import Quantized, Quantizer
from vqcodec.quantizers.noise import StepNoise, seeded
from vqcodec.quantizers.settings import QuantizerSettings


@dataclass(frozen=True)
class Options:
    """The Transformer encoder: layers, attention heads, width of the feedforward part, dropout 0..1; as published."""

    layers: int = 6
    heads: int = 8
    feedforward: int = 2048
    dropout: float = 0.1


class Dual(Quantizer):
    """Codebooks [K, d / 2] for two units: the global one, which is refined, and the local one."""

    refined: Tensor | None

    def __init__(self, settings: QuantizerSettings, options: Options = Options()) -> None:
        super().__init__(settings)
        _check(settings, options)
        self.global_codebook = nn.Parameter(torch.randn(self.K, self.d_star))
        self.local_codebook = nn.Parameter(torch.empty(self.K, self.d_star).uniform_(-1 / self.K, 1 / self.K))
        layer = nn.TransformerEncoderLayer(
            self.d_star, options.heads, options.feedforward, options.dropout, batch_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, options.layers, enable_nested_tensor=False)
        self.noise = StepNoise()
        self.register_buffer("refined", None, persistent=False)
        self.register_load_state_dict_post_hook(_forget)  # type: ignore[no-untyped-call]

    def table(self) -> Tensor:
        """Return float32 [2, K, d_star], the refined global and the local codebook; in eval mode a constant."""
        if self.training:
            refined = self._refine() if self.refined is None else self.refined
            return torch.stack([refined, self.local_codebook])
        if self.refined is None:
            with torch.no_grad():
                self.refined = self._refine()
        return torch.stack([self.refined, self.local_codebook])

    def forward(self, z: Tensor, indices: Tensor | None = None) -> Quantized:
        """Quantise z [B, d, h, w]; in training with one refinement, dropout included, for search and result."""
        if not self.training:
            return super().forward(z, indices)
        self.refined = self._refine()
        try:
            return super().forward(z, indices)
        finally:
            self.refined = None
            self.noise.advance()

    def loss(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return the losses of the two halves added up (equation 4), each a mean over its own channels."""
        return self.m * super().loss(z, z_q)

    def train(self, mode: bool = True) -> Dual:
        """Set the mode and forget the constant of eval mode."""
        self.refined = None
        super().train(mode)
        return self

    def _refine(self) -> Tensor:
        with seeded(self.noise.seed(), self.global_codebook.device):
            refined: Tensor = self.transformer(self.global_codebook[None])[0]
        return refined


def _forget(module: Dual, _: object) -> None:
    module.refined = None


def _check(settings: QuantizerSettings, options: Options) -> None:
    if settings.m != 2:
        raise SettingsError(f"quantizer 'dual' has two units, not m={settings.m}; choose m=2")
    if options.heads < 1 or settings.d_star % options.heads:
        raise SettingsError(
            f"d_star={settings.d_star} of quantizer 'dual' does not divide into heads={options.heads}; "
            "choose heads that divide d_star"
        )
    for key in ("layers", "feedforward"):
        if getattr(options, key) < 1:
            raise SettingsError(f"option {key} of quantizer 'dual' is {getattr(options, key)}; choose 1 or more")
    if not 0 <= options.dropout < 1:
        raise SettingsError(f"option dropout of quantizer 'dual' is {options.dropout:g}; choose 0 or more, below 1")
