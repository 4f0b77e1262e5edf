"""The contract that every quantizer keeps.

Shapes: z float32 [B, d, h, w] with d = m * d_star; a unit is d_star contiguous channels.
Indices int64 [B, P, h', w'] with values in 0..K-1, P planes. Most quantizers have one
plane per unit. With a shared codebook of depth 2 the first `wide` units have a second, coarse index, whose
planes come first; stages have one plane for each of their `depth`. h', w' are beta * h, beta * w
where beta's neighbors are stored.

All methods code alike (coding.py): an index names a row of a constant codebook, and what the planes
name is put side by side or added up. What a method does while it trains is its own affair;
`codevectors()` is what is left of it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from vqcodec import ranks
from vqcodec.errors import ModelError
from vqcodec.quantizers.layout import coding
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.quantizers.learning.anchors import Features
from vqcodec.quantizers.learning.gradients import COMMITMENT, codebook_loss, straight_through
from vqcodec.quantizers.learning.lloyd import lloyd


class Quantized(NamedTuple):
    """What a quantizer's forward pass returns.

    z_q: float32 [B, d, h, w], in training with the straight-through gradient;
    indices: int64 [B, P, h', w']; loss: scalar, codebook plus 0.25 commitment loss or what the method has instead;
    usage: float32 [K], the share of this batch's indices that each codevector took.
    """

    z_q: Tensor
    indices: Tensor
    loss: Tensor
    usage: Tensor


def check_finite(z: Tensor) -> None:
    """Raise ModelError for latents that are infinite or no numbers: no codevector is nearest to them."""
    if not math.isfinite(z.detach().sum()):
        raise ModelError(
            "latents that are to be quantized are infinite or no numbers; the network before the quantizer "
            "is damaged, or it has diverged in training, which a lower learning rate prevents"
        )


def draw(unit: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return [count, d_star] features of unit [B, d_star, h, w] at random, repeatedly only where there are fewer."""
    features = Features(unit, unit.shape[1])
    rounds = [torch.randperm(len(features), generator=generator) for _ in range(-(-count // len(features)))]
    return features[torch.cat(rounds)[:count].to(unit.device)]


class Quantizer(nn.Module, ABC):
    """Base class: subclasses say what their codevectors are, and how it learns.

    In eval mode `decode(encode(z))` equals `forward(z).z_q` exactly. `likelihood`: whether `loss` is that of a
    variational bound in nats per latent value, beside which the decoder's variance is learned too.
    """

    likelihood: ClassVar[bool] = False

    def __init__(self, settings: QuantizerSettings) -> None:
        super().__init__()
        self.settings = settings
        self.K, self.m, self.d_star, self.beta = settings.K, settings.m, settings.d_star, settings.beta
        self.d = settings.d

    @abstractmethod
    def codevectors(self) -> Tensor:
        """Return the codebook float32 of settings.codebook_shape, with gradients to what it is made from."""

    def forward(self, z: Tensor, indices: Tensor | None = None) -> Quantized:
        """Quantize z [B, d, h, w], in training with a straight-through gradient.

        `indices` are what to quantize to, for example rate-aware ones; None means encode(z).
        """
        if indices is None:
            with torch.no_grad():
                # No gradient: the choice of an index has none, and the table of distances would be kept for it.
                indices = self.encode(z)
        z_q, loss = self.quantize(z, indices)
        usage = self.usage_of(indices)
        if self.training:
            # After z_q was looked up, so that loss and reconstruction see the codebook that chose the indices.
            z_all, indices_all = ranks.whole(z.detach()), ranks.whole(indices)
            self.update(z_all, indices_all, self.usage_of(indices_all))
            z_q = straight_through(z, z_q)
        return Quantized(z_q, indices, loss, usage)

    def quantize(self, z: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return decode(indices) and the scalar that training adds, for methods whose loss depends on the indices."""
        z_q = self.decode(indices)
        return z_q, self.loss(z, z_q)

    def encode(self, z: Tensor, bits: Tensor | None = None) -> Tensor:
        """Return indices for z: nearest codevectors, or the least ||z - c||^2 + RATE_WEIGHT * bits.

        `bits` [P, K] or [B, P, K] are the bits of each index in each plane.
        """
        return self.encode_grid(self.expand(z), bits)

    def decode(self, indices: Tensor) -> Tensor:
        """Return z_q float32 [B, d, h, w] for indices [B, P, h', w']."""
        return coding.decode(self.settings, self.codevectors(), indices)

    def expand(self, z: Tensor) -> Tensor:
        """Return z [B, d, h', w'] on the grid of the stored indices."""
        return coding.expand(self.settings, z)

    def encode_grid(self, z: Tensor, bits: Tensor | None = None) -> Tensor:
        """Return indices [B, P, h', w'] for z on the grid of the stored indices; see encode and check_finite."""
        check_finite(z)
        return coding.encode_grid(self.settings, self.codevectors(), z, bits)

    def loss(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return the scalar that training adds: codebook and commitment loss of VQ-VAE (equation 3)."""
        return codebook_loss(z, z_q, COMMITMENT)

    def usage_of(self, indices: Tensor) -> Tensor:
        """Return float32 [K], the share of the indices that each codevector took."""
        return torch.bincount(indices.flatten(), minlength=self.K).float() / indices.numel()

    def update(self, z: Tensor, indices: Tensor, usage: Tensor) -> None:
        """Do, after each training batch, what gradients do not: revive codevectors, keep averages.

        Where several processes train, this is the whole batch.
        """

    def begin(self, z: Tensor, generator: torch.Generator) -> None:
        """Start among latents z [B, d, h, w] of training pictures, for quantizers that can."""

    def cluster(self, z: Tensor) -> None:
        """Move codevectors to the middle of those latents z [B, d, h, w] that choose them, for quantizers that can."""

    def advance(self, fraction: float) -> None:
        """Say how much of the training is done, 0..1, to quantizers that anneal."""

    def note_usage(self, usage: Tensor) -> None:
        """Take over usage [K] that was counted outside of training, for quantizers that keep an average."""


class Learned(Quantizer):
    """A quantizer whose codebook is a parameter, which by itself learns from `loss`."""

    def __init__(self, settings: QuantizerSettings) -> None:
        super().__init__(settings)
        self.codebook = nn.Parameter(torch.empty(settings.codebook_shape).uniform_(-1 / self.K, 1 / self.K))

    def codevectors(self) -> Tensor:
        """Return the codebook."""
        return self.codebook

    @torch.no_grad()
    def begin(self, z: Tensor, generator: torch.Generator) -> None:
        """Make every codevector one of its unit's features in z, drawn at random, of any unit in a shared codebook.

        With stages that add up it changes nothing: the later ones need codevectors smaller than features. Online
        clustering moves what the first batch does not use to where that batch is, as it does with any beginning.
        """
        if self.settings.depth > 1:
            return
        units = z.view(len(z), self.m, self.d_star, *z.shape[2:]).transpose(0, 1)
        sources = units if self.settings.has_own_codebooks else units.flatten(0, 1)[None]
        for book, source in zip(self.codebook.view(-1, self.K, self.d_star), sources, strict=True):
            book.copy_(draw(source, self.K, generator))

    def cluster(self, z: Tensor) -> None:
        """Take a few rounds of Lloyd's algorithm, but with stages that add up."""
        if self.settings.depth > 1:
            return
        grid, first = self.expand(z), self.K * torch.arange(self.m, device=z.device)[:, None, None]
        offset = first if self.settings.has_own_codebooks else 0
        lloyd(self.codebook.data.view(-1, self.d_star), grid, lambda: self.encode_grid(grid) + offset)


class Fixed(Quantizer):
    """A quantizer that has learned: its codebook is a constant. What a codec needs of any method."""

    constant: Tensor

    def __init__(self, settings: QuantizerSettings, codebook: Tensor) -> None:
        super().__init__(settings)
        self.register_buffer("constant", codebook.reshape(settings.codebook_shape))

    def codevectors(self) -> Tensor:
        """Return the constant."""
        return self.constant
