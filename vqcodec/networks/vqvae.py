"""The `vqvae` network of the papers' experiments on small pictures: a grid of a quarter of the picture's side.

    x --> 4x4/2 - 64 - 4x4/2 - 128 - 3x3 - 128 - 2 residual blocks - ReLU - 1x1 --> z [d, h, w]

    z --> 3x3 - 128 - 2 residual blocks - ReLU - 4x4/2 up - 64 - 4x4/2 up --> x

The layers are those that CVQ-VAE's and LooC's experiments on MNIST, Fashion-MNIST and CIFAR-10 share: no
normalization, biases everywhere, PyTorch's own initialization, nothing at the output. The latents
have d = 64 channels in CVQ-VAE and 128 in LooC. `subpixel` and `rows` are what LooC's released code does to latents
beyond its paper (layouts.py).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vqcodec.errors import SettingsError
from vqcodec.networks import layouts
from vqcodec.networks.base import Network
from vqcodec.networks.layers import conv3, from_signed, to_signed

# The sizes of the paper's code: 128 channels, 32 in residual layers, 64 at half resolution.
_HIDDEN, _NARROW, _FINE = 128, 32, 64
MOST_SCALE = 8
"""The most of `subpixel` and of `rows`."""


class VqvaeNetwork(Network):
    """Analysis and synthesis between pictures [B, 3, 4h, 4w] in [0, 1] and latents [B, d, h, w]; no rates."""

    stride = 4
    analysis_margin: int | None = 4
    synthesis_margin: int | None = 5  # one more than it sees, for the mode `smooth`, which interpolates latents
    synthesis_names = ("decoder",)
    latent_layer = "before"
    last_layer = "decoder.6.weight"

    def __init__(self, d: int = 64, channels: int = 3, subpixel: int = 1, rows: int = 1) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise SettingsError(f"a vqvae network of {channels} channels is not possible; choose 1 (gray) or 3")
        if min(subpixel, rows) != 1 or max(subpixel, rows) > MOST_SCALE or d % rows:
            raise SettingsError(
                f"a vqvae network of subpixel={subpixel} and rows={rows} is not possible; choose 1 for one of them, at "
                f"most {MOST_SCALE} for the other, and rows that divide d={d}"
            )
        self.d = d * subpixel**2
        self.channels, self.subpixel, self.rows = channels, subpixel, rows
        if subpixel > 1:
            self.analysis_margin = 5  # interpolation looks at the neighbors
        if rows > 1:
            # A tile's blocks of rows would begin elsewhere than those of the picture.
            self.analysis_margin = self.synthesis_margin = None
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, _FINE, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(_FINE, _HIDDEN, 4, stride=2, padding=1),
            nn.ReLU(),
            conv3(_HIDDEN, _HIDDEN),
            *_residuals(),
        )
        self.before = nn.Conv2d(_HIDDEN, d, 1)
        self.decoder = nn.Sequential(
            conv3(d, _HIDDEN),
            *_residuals(),
            nn.ConvTranspose2d(_HIDDEN, _FINE, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(_FINE, channels, 4, stride=2, padding=1),
        )

    def analysis(self, x: Tensor, quality: Tensor) -> Tensor:
        """Return latents z float32 [B, d, h, w] for x [B, 3, 4h, 4w] in [0, 1]; a gray network sees their mean."""
        if self.channels == 1:
            x = x.double().mean(1, keepdim=True).float()  # in float32 the mean of three equal values is not exact
        z: Tensor = self.before(self.encoder(to_signed(x)))
        if self.subpixel > 1:
            return layouts.to_subpixels(z, self.subpixel)
        return layouts.rows_and_channels(z, self.rows) if self.rows > 1 else z

    def synthesis(self, z: Tensor, quality: Tensor) -> Tensor:
        """Return a picture [B, 3, 4h, 4w] (about [0, 1], not clamped) from z [B, d, h, w]; gray has equal channels."""
        if self.subpixel > 1:
            z = layouts.from_subpixels(z, self.subpixel)
        if self.rows > 1:
            z = layouts.rows_and_channels(z, self.rows)
        return from_signed(self.decoder(z)).expand(-1, 3, -1, -1)

    def settings(self) -> dict[str, Any]:
        """Return the name and sizes; what only released code has where it is there."""
        more = {"subpixel": self.subpixel, "rows": self.rows}
        usual = {"name": "vqvae", "d": self.d // self.subpixel**2, "channels": self.channels}
        return usual | {key: value for key, value in more.items() if value > 1}


class RectifiedResidual(nn.Module):
    """y + conv(relu(conv(y))) with y = relu(x): what passes by is rectified too.

    The published code rectifies in place, so that what it adds the change to is no longer x.
    """

    def __init__(self, channels: int, narrow: int) -> None:
        super().__init__()
        self.first = conv3(channels, narrow)
        self.second = nn.Conv2d(narrow, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the shape of x [B, C, h, w]."""
        y = torch.relu(x)
        change: Tensor = self.second(torch.relu(self.first(y)))
        return y + change


def _residuals() -> list[nn.Module]:
    return [RectifiedResidual(_HIDDEN, _NARROW), RectifiedResidual(_HIDDEN, _NARROW), nn.ReLU()]
