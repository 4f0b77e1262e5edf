"""Dual Codebook VQ: a global codebook that a Transformer refines, and a plain local one.

"Dual Codebook VQ: Enhanced Image Reconstruction with Reduced Codebook Size", section 3.3. The first half of the
channels is matched with the global codebook after a Transformer encoder has let its K codevectors see each
other, so that one step moves them all; the second half is matched with the local codebook as it is. Once
training is over the refined codebook is a constant, and the Transformer is gone.

As published both learn by gradient, which in short trainings leaves most of the local codebook unused; so it can also
be moving averages (averages.py), with online clustering for what nobody uses (clustering.py). The global half must
keep up with that or it dies. Nothing but gradients can move it, so its online clustering is one more loss.

A file has units of equal width. Halves of unequal width (table 2) are units as wide as the wider one; what is left over
of the narrower half is zero in every codevector, is never looked at and has no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.errors import SettingsError
from vqcodec.quantizers.base import Quantized, Quantizer, draw
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.quantizers.learning.anchors import Anchor, Features
from vqcodec.quantizers.learning.averages import MovingAverages, commitment_loss
from vqcodec.quantizers.learning.clustering import OnlineClustering
from vqcodec.quantizers.learning.noise import StepNoise, seeded
from vqcodec.quantizers.registry import register

Local = Literal["loss", "ema", "clustering"]


@dataclass(frozen=True)
class Options:
    """The Transformer encoder: layers, attention heads, width of the feedforward part, dropout 0..1; as published.

    local: what moves the local codebook, the gradient of the loss as published, moving averages of its features
    (`ema`), or these and online clustering (`clustering`); anchor: what unused codevectors then move to (anchors.py).
    pull: weight of the loss that draws refined codevectors nobody uses to the features nearest to them, 0 for none.
    global_part, local_part: of how many equal parts of its unit a half has the first one; with 1 it has all channels.
    """

    layers: int = 6
    heads: int = 8
    feedforward: int = 2048
    dropout: float = 0.1
    local: Local = "loss"
    anchor: Anchor = "unique"
    pull: float = 0.0
    global_part: int = 1
    local_part: int = 1


@register(
    "dual", options=Options, layout="own", units=2, defaults={"m": 2},
    first={
        "quantizer_weight": 1.0,
        "options": {"layers": 1, "feedforward": 256, "dropout": 0.0, "local": "clustering", "pull": 1.0},
    },
    remedy="-O local=clustering and -O pull=1, which bring back what either half leaves unused",
)  # fmt: skip
class Dual(Quantizer):
    """Codebooks [K, d / 2] for two units: the global one, which is refined, and the local one."""

    refined: Tensor | None

    def __init__(self, settings: QuantizerSettings, options: Options = Options()) -> None:
        super().__init__(settings)
        self.widths = _checked(settings, options)
        first_width, second_width = self.widths
        self.global_codebook = nn.Parameter(torch.randn(self.K, first_width))
        first = torch.empty(self.K, second_width).uniform_(-1 / self.K, 1 / self.K)
        self.local_codebook = nn.Parameter(first, requires_grad=options.local == "loss")
        self.averages = None if options.local == "loss" else MovingAverages(self.K)
        self.clustering = (
            OnlineClustering(self.K, second_width, settings.match, options.anchor)
            if options.local == "clustering"
            else None
        )
        self.pull = options.pull
        # Of anchors that are drawn anew for every batch a gradient follows the mean, which is one point for all.
        self.revival = OnlineClustering(self.K, first_width, settings.match, "closest") if options.pull else None
        layer = nn.TransformerEncoderLayer(
            first_width, options.heads, options.feedforward, options.dropout, batch_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, options.layers, enable_nested_tensor=False)
        self.noise = StepNoise()
        self.register_buffer("refined", None, persistent=False)
        self.register_load_state_dict_post_hook(_forget)  # type: ignore[no-untyped-call]

    def codevectors(self) -> Tensor:
        """Return float32 [2, K, d_star], the refined global and the local codebook; in eval mode a constant."""
        if self.refined is not None:
            return self._whole(self.refined)
        if self.training:
            return self._whole(self._refine())
        with torch.no_grad():
            self.refined = self._refine()
        return self._whole(self.refined)

    def forward(self, z: Tensor, indices: Tensor | None = None) -> Quantized:
        """Quantize z [B, d, h, w]; in training with one refinement, dropout included, for search and result."""
        if not self.training:
            return super().forward(z, indices)
        self.refined = self._refine()
        try:
            quantized = super().forward(self._without_rest(z), indices)
            return quantized._replace(loss=quantized.loss + self._pull(self.refined, z.detach(), quantized.indices))
        finally:
            self.refined = None
            self.noise.advance()

    def loss(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return the losses of the two halves added up (equation 4), each a mean over its own channels.

        Of a local half of moving averages it is only the commitment.
        """
        (z_global, z_local), (q_global, q_local) = self.halves(z), self.halves(z_q)
        local = super().loss(z_local, q_local) if self.averages is None else commitment_loss(z_local, q_local)
        return super().loss(z_global, q_global) + local

    def halves(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the global and the local half of z [B, d, h, w], each without what its unit has left over."""
        return z[:, : self.widths[0]], z[:, self.d_star : self.d_star + self.widths[1]]

    @torch.no_grad()
    def begin(self, z: Tensor, generator: torch.Generator) -> None:
        """Make every local codevector one of the local features in z; the global ones are not in their space."""
        self.local_codebook.copy_(draw(self.halves(z)[1], self.K, generator))

    def update(self, z: Tensor, indices: Tensor, usage: Tensor) -> None:
        """Move the local codebook where gradients do not, by the local half of what was matched alone."""
        z, indices = self.halves(z)[1], indices[:, 1:]
        if self.averages is not None:
            self.averages.update(self.local_codebook, z, indices)
        if self.clustering is not None:
            self.clustering.update(self.local_codebook, self.usage_of(indices), Features(z, self.widths[1]))

    def _pull(self, refined: Tensor, z: Tensor, indices: Tensor) -> Tensor | float:
        """Return the weighted loss that draws unused codevectors of the refined codebook to the global half of z."""
        if self.revival is None:
            return 0.0
        usage, features = self.usage_of(indices[:, :1]), Features(self.halves(z)[0], self.widths[0])
        return self.pull * self.revival.pull(refined, usage, features)

    def _whole(self, refined: Tensor) -> Tensor:
        """Return both codebooks [2, K, d_star], with zeros where a half is narrower than its unit."""
        books = zip((refined, self.local_codebook), self.widths, strict=True)
        return torch.stack([F.pad(book, (0, self.d_star - width)) for book, width in books])

    def _without_rest(self, z: Tensor) -> Tensor:
        """Return z [B, d, h, w] without the values and gradients of what is left over."""
        if self.widths == (self.d_star, self.d_star):
            return z
        halves = zip(self.halves(z), self.widths, strict=True)
        return torch.cat([F.pad(half, (0, 0, 0, 0, 0, self.d_star - width)) for half, width in halves], 1)

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


def _checked(settings: QuantizerSettings, options: Options) -> tuple[int, int]:
    """Return the widths of the halves; SettingsError for options that do not fit."""
    if settings.m != 2:
        raise SettingsError(f"quantizer 'dual' has two units, not m={settings.m}; choose m=2")
    parts = options.global_part, options.local_part
    if min(parts) != 1 or any(part < 1 or settings.d_star % part for part in parts):
        raise SettingsError(
            f"global_part={parts[0]}, local_part={parts[1]} of quantizer 'dual' do not fit d_star={settings.d_star}; "
            "choose 1 for the wider half, and for the other what divides d_star"
        )
    widths = settings.d_star // parts[0], settings.d_star // parts[1]
    if options.heads < 1 or widths[0] % options.heads:
        raise SettingsError(
            f"d_star={widths[0]} of quantizer 'dual' does not divide into heads={options.heads}; "
            "choose heads that divide d_star"
        )
    for key in ("layers", "feedforward"):
        if getattr(options, key) < 1:
            raise SettingsError(f"option {key} of quantizer 'dual' is {getattr(options, key)}; choose 1 or more")
    if not 0 <= options.pull < float("inf"):
        raise SettingsError(f"option pull of quantizer 'dual' is {options.pull:g}; choose 0 or more")
    if not 0 <= options.dropout < 1:
        raise SettingsError(f"option dropout of quantizer 'dual' is {options.dropout:g}; choose 0 or more, below 1")
    return widths
