"""The `vqgan` network for the lowest rates: a sixteenth of the picture's side, attention on the latent grid.

The layers are those of VQGAN (Esser et al. 2021) at a factor of 16: five levels of width x 1, 1, 2, 2, 4,
between which the grid is halved or doubled. Each level has two residual blocks, in the synthesis one
more. `modulated` is the synthesis of MoVQ (Zheng et al. 2022): wherever it normalizes, scale and shift
are not constants of a channel but come from the quantized latents at that place.

GroupNorm and attention see the whole picture, so it cannot be cut into tiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.errors import SettingsError
from vqcodec.networks.base import Network
from vqcodec.networks.layers import conv3, from_signed, to_signed

MULTIPLIERS = (1, 1, 2, 2, 4)
BLOCKS = 2
_GROUPS, _LEAST_IN_GROUP = 32, 4


class VqganNetwork(Network):
    """Analysis and synthesis between pictures [B, 3, 16h, 16w] in [0, 1] and latents [B, d, h, w]; no rates."""

    stride = 2 ** (len(MULTIPLIERS) - 1)
    analysis_margin = None
    synthesis_margin = None
    synthesis_names = ("after", "decoder")
    latent_layer = "before"
    last_layer = "decoder.out.weight"

    def __init__(self, d: int = 256, width: int = 128, modulated: bool = False) -> None:
        super().__init__()
        if width < _LEAST_IN_GROUP or width % _LEAST_IN_GROUP:
            raise SettingsError(f"a vqgan network of width {width} is not possible; choose a multiple of 4")
        self.d, self.width, self.modulated = d, width, modulated
        self.encoder = Encoder(width, d)
        self.before = nn.Conv2d(d, d, 1)
        self.after = nn.Conv2d(d, d, 1)
        self.decoder = Decoder(width, d, SpatialNorm.over(d) if modulated else PlainNorm)

    def analysis(self, x: Tensor, quality: Tensor) -> Tensor:
        """Return latents z float32 [B, d, h, w] for x [B, 3, 16h, 16w] in [0, 1]."""
        z: Tensor = self.before(self.encoder(to_signed(x)))
        return z

    def synthesis(self, z: Tensor, quality: Tensor) -> Tensor:
        """Return a picture [B, 3, 16h, 16w] (about [0, 1], not clamped) from latents z [B, d, h, w]."""
        return from_signed(self.decoder(self.after(z), z))

    def settings(self) -> dict[str, Any]:
        """Return the name and sizes."""
        return {"name": "vqgan", "d": self.d, "width": self.width, "modulated": self.modulated}


class PlainNorm(nn.Module):
    """GroupNorm with a scale and a shift for each channel; it has no use for z."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_groups(channels), channels, eps=1e-6)

    def forward(self, x: Tensor, z: Tensor | None) -> Tensor:
        """Return a tensor of the shape of x [B, C, h, w]."""
        normal: Tensor = self.norm(x)
        return normal


class SpatialNorm(nn.Module):
    """GroupNorm whose scale and shift are linear in the latent of the same place (MoVQ's modulation).

    Starts near the plain one: the scale's bias is 1, the shift's 0.
    """

    def __init__(self, channels: int, d: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_groups(channels), channels, eps=1e-6, affine=False)
        self.scale = nn.Conv2d(d, channels, 1)
        self.shift = nn.Conv2d(d, channels, 1)
        nn.init.ones_(self.scale.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.shift.bias)  # type: ignore[arg-type]

    @classmethod
    def over(cls, d: int) -> Callable[[int], SpatialNorm]:
        """Return what makes such a norm for a number of channels, given latents of d channels."""
        return lambda channels: cls(channels, d)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Return a tensor of the shape of x [B, C, H, W] for latents z [B, d, h, w] of the same place."""
        # Repeating commutes with a 1 x 1 convolution, which on the small grid costs up to 256 times less.
        scale, shift = (F.interpolate(of(z), x.shape[2:], mode="nearest") for of in (self.scale, self.shift))
        modulated: Tensor = self.norm(x) * scale + shift
        return modulated


MakeNorm = Callable[[int], nn.Module]


class Residual(nn.Module):
    """x + conv(swish(norm(conv(swish(norm(x)))))), with a 1 x 1 convolution beside it where the width changes."""

    def __init__(self, inputs: int, outputs: int, norm: MakeNorm) -> None:
        super().__init__()
        self.norms = nn.ModuleList([norm(inputs), norm(outputs)])
        self.convs = nn.ModuleList([conv3(inputs, outputs), conv3(outputs, outputs)])
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, z: Tensor | None) -> Tensor:
        """Return [B, outputs, h, w] for x [B, inputs, h, w]."""
        y = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            y = conv(F.silu(norm(y, z)))
        out: Tensor = self.skip(x) + y
        return out


class Attention(nn.Module):
    """Attention of one head between all places of a grid, added to what came in."""

    def __init__(self, channels: int, norm: MakeNorm) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.query, self.key, self.value, self.out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor, z: Tensor | None) -> Tensor:
        """Return a tensor of the shape of x [B, C, h, w]."""
        normal = self.norm(x, z)
        query, key, value = (of(normal).flatten(2).mT for of in (self.query, self.key, self.value))
        seen = F.scaled_dot_product_attention(query, key, value)
        change: Tensor = self.out(seen.mT.reshape(x.shape))
        return x + change


class Chain(nn.ModuleList):
    """Layers one after the other, each of which may look at z."""

    def forward(self, x: Tensor, z: Tensor | None) -> Tensor:
        """Return what the last layer gives."""
        for layer in self:
            x = layer(x, z)
        return x


class Encoder(nn.Module):
    """Pictures [B, 3, 16h, 16w] in [-1, 1] to [B, d, h, w]."""

    def __init__(self, width: int, d: int) -> None:
        super().__init__()
        widths = [width * multiplier for multiplier in MULTIPLIERS]
        self.stem = conv3(3, width)
        self.levels = nn.ModuleList(
            _level(inputs, outputs, BLOCKS, i == len(widths) - 1, PlainNorm)
            for i, (inputs, outputs) in enumerate(zip([width, *widths], widths, strict=False))
        )
        self.halve = nn.ModuleList(nn.Conv2d(c, c, 3, stride=2) for c in widths[:-1])
        self.middle = _middle(widths[-1], PlainNorm)
        self.norm = PlainNorm(widths[-1])
        self.out = conv3(widths[-1], d)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, d, h, w]."""
        y = self.stem(x)
        for level, halve in zip(self.levels[:-1], self.halve, strict=True):
            # As published: padded below and at the right only, so that cell i sees cells 2i to 2i + 2.
            y = halve(F.pad(level(y, None), (0, 1, 0, 1)))
        y = self.middle(self.levels[-1](y, None), None)
        out: Tensor = self.out(F.silu(self.norm(y, None)))
        return out


class Decoder(nn.Module):
    """Latents [B, d, h, w] to pictures [B, 3, 16h, 16w], about [-1, 1]."""

    def __init__(self, width: int, d: int, norm: MakeNorm) -> None:
        super().__init__()
        widths = [width * multiplier for multiplier in reversed(MULTIPLIERS)]
        self.stem = conv3(d, widths[0])
        self.middle = _middle(widths[0], norm)
        self.levels = nn.ModuleList(
            _level(inputs, outputs, BLOCKS + 1, i == 0, norm)
            for i, (inputs, outputs) in enumerate(zip([widths[0], *widths], widths, strict=False))
        )
        self.smooth = nn.ModuleList(conv3(c, c) for c in widths[:-1])
        self.norm = norm(widths[-1])
        self.out = conv3(widths[-1], 3)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        """Return [B, 3, 16h, 16w] for features y [B, d, h, w]; z [B, d, h, w] is what spatial norms look at."""
        y = self.levels[0](self.middle(self.stem(y), z), z)
        for level, smooth in zip(self.levels[1:], self.smooth, strict=True):
            y = level(smooth(F.interpolate(y, scale_factor=2.0, mode="nearest")), z)
        out: Tensor = self.out(F.silu(self.norm(y, z)))
        return out


def _level(inputs: int, outputs: int, blocks: int, attend: bool, norm: MakeNorm) -> Chain:
    """Return the residual blocks of one level, each followed by attention if the level is to attend."""
    layers: list[nn.Module] = []
    for block in range(blocks):
        layers.append(Residual(outputs if block else inputs, outputs, norm))
        if attend:
            layers.append(Attention(outputs, norm))
    return Chain(layers)


def _middle(channels: int, norm: MakeNorm) -> Chain:
    return Chain([Residual(channels, channels, norm), Attention(channels, norm), Residual(channels, channels, norm)])


def _groups(channels: int) -> int:
    """Return how many groups GroupNorm has: 32 as published, fewer where each would have under four channels."""
    return math.gcd(_GROUPS, channels // _LEAST_IN_GROUP)
