"""The `photo` network: a linear block transform beside a convolutional branch.

The linear path is a basis of blocks of 16 x 16 x 3 values, training/basis.py, as a convolution
of stride 16 and its transpose. The convolutional branch adds
to it and its last layers start at zero, so that training starts at the quality of a block
transform codec and improves from there.

    x --+-- block basis, stride 16 ----------------(+)-- x gain(quality) --> z [d, h, w]
        +-- unshuffle 4 - fine - mid - low ---------^

    z --+-- / gain(quality) --+-- block basis transposed ------(+)--> x
                              +-- / sigma - low - up - fine ----^
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.networks.layers import Modulation, ResidualBlock, conv3
from vqcodec.networks.rated import LAMBDAS, Linear, RatedNetwork
from vqcodec.transform import GRAY_LEVELS

STRIDE = 16


class PhotoNetwork(RatedNetwork):
    """Analysis and synthesis between pictures [B, 3, 16h, 16w] in [0, 1] and latents [B, d, h, w]."""

    stride = STRIDE
    analysis_margin = 8
    synthesis_margin = 10
    synthesis_names = ("synthesis", "block_synthesis")
    last_layer = "synthesis_out.weight"
    linear_names = ("block_analysis", "block_synthesis")

    def __init__(
        self,
        d: int = 320,
        widths: tuple[int, int, int, int] = (192, 128, 96, 64),
        lambdas: tuple[float, ...] = LAMBDAS,
    ) -> None:
        super().__init__()
        low, mid, up, fine = widths
        self.widths = (low, mid, up, fine)
        self.block_analysis = nn.Parameter(torch.zeros(d, 3, STRIDE, STRIDE))
        self.block_synthesis = nn.Parameter(torch.zeros(d, 3, STRIDE, STRIDE))
        self.make_gains(d, lambdas)
        # A convolution at full resolution costs sixteen times as much; the unshuffle loses nothing.
        self.analysis_stem = nn.Sequential(nn.PixelUnshuffle(4), conv3(48, fine), nn.ReLU(), conv3(fine, mid, stride=2))
        self.analysis_mid = nn.ModuleList([ResidualBlock(mid), ResidualBlock(mid)])
        self.analysis_down = conv3(mid, low, stride=2)
        self.analysis_low = nn.ModuleList([ResidualBlock(low), ResidualBlock(low)])
        # Zero at the start, so that the first step is taken by the block transform codec itself.
        self.analysis_out = _zero(nn.Conv2d(low, d, 1))
        self.analysis_modulation = Modulation((mid, low))
        self.synthesis_in = conv3(d, low)
        self.synthesis_low = nn.ModuleList([ResidualBlock(low), ResidualBlock(low)])
        # 1 x 1 and a shuffle instead of a transposed convolution, whose overlaps show as a checkerboard.
        self.synthesis_up = nn.Sequential(nn.Conv2d(low, 4 * up, 1), nn.PixelShuffle(2))
        self.synthesis_mid_linear = nn.Conv2d(192, up, 1)
        self.synthesis_mid = nn.ModuleList([ResidualBlock(up), ResidualBlock(up)])
        self.synthesis_up_fine = nn.Sequential(nn.Conv2d(up, 4 * fine, 1), nn.PixelShuffle(2))
        self.synthesis_fine_linear = conv3(48, fine)
        self.synthesis_fine = nn.ModuleList([ResidualBlock(fine) for _ in range(3)])
        # Zero at the start, as analysis_out.
        self.synthesis_out = _zero(conv3(fine, 48))
        self.synthesis_modulation = Modulation((low, up, fine))

    @classmethod
    def of_run(cls, d: int, width: int, lambdas: tuple[float, ...]) -> PhotoNetwork:
        """Return a network whose branches have `width` channels at a quarter of the resolution and 3 width at 1/16."""
        return cls(d, (3 * width, 2 * width, 3 * width // 2, width), lambdas)

    @property
    def linear(self) -> Linear:
        """The convolution of the linear path and its transpose."""
        return Linear(self.block_analysis, self.block_synthesis)

    def set_basis(self, basis: Tensor, sigma: Tensor) -> None:
        """Load an orthonormal block basis [>= d, 768], strongest component first, and its deviations."""
        kernel = basis[: self.d].reshape(self.d, 3, STRIDE, STRIDE)
        with torch.no_grad():
            self.block_analysis.copy_(kernel)
            self.block_synthesis.copy_(kernel)
            super().set_basis(basis, sigma)

    def analysis(self, x: Tensor, quality: Tensor) -> Tensor:
        """Return latents z float32 [B, d, h, w] in quantizer steps for x [B, 3, 16h, 16w] in [0, 1]."""
        linear = F.conv2d((x - 0.5) * GRAY_LEVELS, self.block_analysis, stride=STRIDE)
        with self._branch_precision(x):
            correction = self._analysis_branch(x - 0.5, quality)
        # In deviations: the mean of a block is up to 3533 gray levels, a fine channel a few.
        return (linear + correction.float() * self.sigma[:, None, None]) * self.gain(quality)

    def synthesis(self, z: Tensor, quality: Tensor) -> Tensor:
        """Return a picture [B, 3, 16h, 16w] (about [0, 1], not clamped) from latents z [B, d, h, w]."""
        natural = z / self.gain(quality)
        linear = F.conv_transpose2d(natural, self.block_synthesis, stride=STRIDE) / GRAY_LEVELS
        with self._branch_precision(z):
            # In deviations again, and beside them the linear picture, whose block edges the branch learns to take away.
            correction = self._synthesis_branch(natural / self.sigma[:, None, None], linear, quality)
        return linear + correction.float() + 0.5

    def settings(self) -> dict[str, Any]:
        """Return the name and sizes."""
        return {"name": "photo", "d": self.d, "widths": list(self.widths), "lambdas": list(self.lambdas)}

    def _analysis_branch(self, x: Tensor, quality: Tensor) -> Tensor:
        modulate_mid, modulate_low = self.analysis_modulation(quality)
        y = modulate_mid(self.analysis_stem(x))
        for block in self.analysis_mid:
            y = block(y)
        y = modulate_low(self.analysis_down(y))
        for block in self.analysis_low:
            y = block(y)
        correction: Tensor = self.analysis_out(y)
        return correction

    def _synthesis_branch(self, latents: Tensor, linear: Tensor, quality: Tensor) -> Tensor:
        """Return what to add to the linear path's picture, from normalized latents and that picture."""
        modulate_low, modulate_mid, modulate_fine = self.synthesis_modulation(quality)
        y = modulate_low(self.synthesis_in(latents))
        for block in self.synthesis_low:
            y = block(y)
        y = modulate_mid(self.synthesis_up(y) + self.synthesis_mid_linear(F.pixel_unshuffle(linear, 8)))
        for block in self.synthesis_mid:
            y = block(y)
        y = modulate_fine(self.synthesis_up_fine(y) + self.synthesis_fine_linear(F.pixel_unshuffle(linear, 4)))
        for block in self.synthesis_fine:
            y = block(y)
        return F.pixel_shuffle(self.synthesis_out(y), 4)

    def _branch_precision(self, like: Tensor) -> torch.autocast:
        """Return the context of the convolutional branches; the linear path always stays in float32."""
        return torch.autocast(like.device.type, dtype=torch.bfloat16, enabled=self.bf16)


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
