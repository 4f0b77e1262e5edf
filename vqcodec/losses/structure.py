"""Structure without a trained network: MS-SSIM and the differences of neighbors.

MS-SSIM: Wang, Simoncelli and Bovik 2003, "Multi-scale structural similarity for image quality assessment", with the
window of 11 samples and the five weights of its section 3. Small pictures have fewer scales.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vqcodec.losses.filters import blur, bounded, gaussian, halve

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# Contrast of unlike pictures is about 0, sometimes below; a hundredth keeps the gradient of the power in bounds.
_LEAST = 0.01
# Edges of one, two and four pixels.
_GRADIENT_SCALES = 3


class Structure(nn.Module):
    """1 - MS-SSIM plus the differences of the pictures' gradients; sides of at least 64."""

    taps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("taps", gaussian(_WINDOW, _SIGMA), persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scalar for originals x and reconstructions y float32 [B, 3, H, W]."""
        x = x.contiguous(memory_format=torch.channels_last)
        difference = y.contiguous(memory_format=torch.channels_last) - x
        return 1 - self._ms_ssim(x, difference).mean() + _gradients(difference)

    def _ms_ssim(self, x: Tensor, difference: Tensor) -> Tensor:
        """Return MS-SSIM [B, 3] of x [B, 3, H, W] and x + difference."""
        weights = _WEIGHTS[: _scales(min(x.shape[2:]))]
        product = torch.ones(x.shape[:2], dtype=x.dtype, device=x.device)
        for scale, weight in enumerate(weights):
            luminance, contrast = self._similarity(x, difference)
            values = contrast * luminance if scale == len(weights) - 1 else contrast
            # A power has no slope that one could use at 0, and no value below.
            product = product * bounded(values.mean((2, 3)), _LEAST) ** (weight * sum(_WEIGHTS) / sum(weights))
            x, difference = halve(x), halve(difference)
        return product

    def _similarity(self, x: Tensor, difference: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps of luminance and of contrast with structure.

        Both are written as 1 minus what the difference adds: in float32 the variances themselves are too coarse to
        be subtracted from each other.
        """
        y = x + difference
        mean_x, mean_d = blur(x, self.taps, 0), blur(difference, self.taps, 0)
        mean_y = mean_x + mean_d
        means = mean_x.square() + mean_y.square()
        variances = blur(x.square() + y.square(), self.taps, 0) - means
        variance_d = blur(difference.square(), self.taps, 0) - mean_d.square()
        return 1 - mean_d.square() / (means + _C1), 1 - variance_d / (variances + _C2)


def _scales(side: int) -> int:
    """Return how many scales have room for the window when the shorter side is `side`; at least one."""
    count = 1
    while count < len(_WEIGHTS) and (side := (side + 1) // 2) >= _WINDOW:
        count += 1
    return count


def _gradients(difference: Tensor) -> Tensor:
    """Return the mean over three scales of the absolute horizontal and vertical differences of neighbors."""
    total = torch.zeros((), dtype=difference.dtype, device=difference.device)
    for _ in range(_GRADIENT_SCALES):
        total = total + difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
        difference = halve(difference)
    return total / _GRADIENT_SCALES
