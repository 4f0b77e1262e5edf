"""The contract that every quantizer keeps.

Shapes: z float32 [B, d, h, w] with d = m * d_star; a unit is d_star contiguous channels.
Indices int64 [B, P, h', w'] with values in 0..K-1, P planes. Plain quantizers have one
plane per unit; with depth 2 the first `wide` units have a second, coarse index, whose
planes come first. h', w' are beta * h, beta * w where beta's neighbours are stored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from vqcodec.errors import SettingsError

MODES = ("all", "conditional", "smooth")
# Steps^2 per bit. A uniform quantiser at high rate has the slope 2 ln 2 / 12 = 0.1155; behind a
# synthesis that repairs part of the error a little more pays.
RATE_WEIGHT = 0.15


class Quantized(NamedTuple):
    """What a quantizer's forward pass returns.

    z_q: float32 [B, d, h, w], in training with the straight-through gradient;
    indices: int64 [B, P, h', w']; loss: scalar, codebook plus 0.25 commitment loss;
    usage: float32 [K], the share of this batch's indices that each codevector took.
    """

    z_q: Tensor
    indices: Tensor
    loss: Tensor
    usage: Tensor


@dataclass(frozen=True)
class QuantizerSettings:
    """What the decoder must know of a quantizer; stored in the model file and the .vqc header.

    K codevectors of d_star values, m units, beta with its mode, depth 1 or 2 with the
    number of wide units and the factor of the coarse index.
    """

    name: str
    K: int
    m: int
    d_star: int
    beta: int = 1
    mode: str = "all"
    depth: int = 1
    wide: int = 0
    scale: float = 12.0

    def __post_init__(self) -> None:
        for key, low, high in (("K", 2, 65536), ("m", 1, 4096), ("d_star", 1, 4096), ("beta", 1, 8), ("depth", 1, 2)):
            value = getattr(self, key)
            if not low <= value <= high:
                raise SettingsError(f"quantizer setting {key}={value} is outside {low}..{high}")
        if self.mode not in MODES:
            raise SettingsError(f"beta mode {self.mode!r} is unknown; choose one of {', '.join(MODES)}")
        if self.beta == 1 and self.mode != "all":
            raise SettingsError(f"beta mode {self.mode!r} needs beta of 2 or more; use mode 'all' with beta 1")
        if not 0 <= self.wide <= self.m or (self.depth == 1) != (self.wide == 0):
            raise SettingsError(f"wide={self.wide} does not fit depth={self.depth} and m={self.m} units")

    @property
    def planes(self) -> int:
        """Index planes P: one per unit and one more for each wide unit."""
        return self.m + self.wide

    @property
    def grid_factor(self) -> int:
        """How many times more indices than latents there are along each side in the file."""
        return 1 if self.mode == "smooth" else self.beta

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values for JSON."""
        return asdict(self)


class Quantizer(nn.Module, ABC):
    """Base class: subclasses fill in `codebook` and the abstract methods.

    In eval mode `decode(encode(z))` equals `forward(z).z_q` exactly.
    """

    codebook: Tensor
    online_clustering = False
    """Whether training revives unused codevectors, for quantizers that can."""

    def __init__(self, settings: QuantizerSettings) -> None:
        super().__init__()
        self.settings = settings
        self.K, self.m, self.d_star, self.beta = settings.K, settings.m, settings.d_star, settings.beta
        self.d = settings.m * settings.d_star

    @abstractmethod
    def forward(self, z: Tensor, indices: Tensor | None = None) -> Quantized:
        """Quantise z [B, d, h, w], in training with a straight-through gradient.

        `indices` are what to quantise to, for example rate-aware ones; None means encode(z).
        """

    def encode(self, z: Tensor, bits: Tensor | None = None) -> Tensor:
        """Return indices for z: nearest codevectors, or the least ||z - c||^2 + RATE_WEIGHT * bits.

        `bits` [P, K] or [B, P, K] are the bits of each index in each plane.
        """
        return self.encode_grid(self.expand(z), bits)

    def note_usage(self, usage: Tensor) -> None:
        """Take over usage [K] that was counted outside of training, for quantizers that keep an average."""

    @abstractmethod
    def expand(self, z: Tensor) -> Tensor:
        """Return z [B, d, h', w'] on the grid of the stored indices."""

    @abstractmethod
    def encode_grid(self, z: Tensor, bits: Tensor | None = None) -> Tensor:
        """Return indices [B, P, h', w'] for z on the grid of the stored indices; see encode."""

    @abstractmethod
    def decode(self, indices: Tensor) -> Tensor:
        """Return z_q float32 [B, d, h, w] for indices [B, P, h', w']."""
