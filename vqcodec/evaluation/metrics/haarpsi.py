"""HaarPSI, the Haar wavelet-based perceptual similarity index (Reisenhofer et al., 2018).

Written out here because the library that has it, piq, cannot be imported without torchvision;
it gives the same values (see the test).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

Pixels = npt.NDArray[np.uint8]
C, ALPHA = 30.0, 4.2
SCALES = 3
_RGB_TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


def haarpsi(original: Pixels, copy: Pixels) -> float:
    """Return HaarPSI in 0..1 of two pictures, 1 where they are the same."""
    a, b = _halved_yiq(original), _halved_yiq(copy)
    details_a, details_b = _haar(a[:, :1]), _haar(b[:, :1])
    similarities, weights = [], []
    for direction in range(2):
        coarse, *fine = (2 * (SCALES - 1) + direction, *(2 * scale + direction for scale in range(SCALES - 1)))
        similarities.append(_similarity(details_a[:, fine], details_b[:, fine]))
        weights.append(torch.maximum(details_a[:, coarse], details_b[:, coarse]))
    similarities.append(_similarity(_color(a), _color(b)))
    weights.append((weights[0] + weights[1]) / 2)
    similarity, weight = torch.stack(similarities), torch.stack(weights)
    total = weight.sum()
    if total == 0:
        return 1.0  # both pictures are one black field
    mean = ((similarity * ALPHA).sigmoid() * weight).sum() / total
    return min(1.0, float((torch.logit(mean) / ALPHA) ** 2))


def _halved_yiq(pixels: Pixels) -> Tensor:
    """Return YIQ float64 [1, 3, H / 2, W / 2], the mean of 2x2 samples; outside the picture is 0."""
    yiq = torch.from_numpy(pixels.astype(np.float64) @ np.array(_RGB_TO_YIQ).T).permute(2, 0, 1)[None]
    odd = max(pixels.shape[0] % 2, pixels.shape[1] % 2)
    return F.avg_pool2d(F.pad(yiq, (0, odd, 0, odd)), 2)


def _haar(luma: Tensor) -> Tensor:
    """Return magnitudes [1, 6, h, w] of Haar wavelets: for each scale the one of rows, then of columns."""
    found = []
    for scale in range(SCALES):
        size = 2 ** (scale + 1)
        wavelet = torch.full((size, size), 1 / size, dtype=torch.float64)
        wavelet[size // 2 :] *= -1
        padded = F.pad(luma, (size // 2 - 1, size // 2, size // 2 - 1, size // 2))
        found.append(F.conv2d(padded, torch.stack([wavelet, wavelet.T])[:, None]).abs())
    return torch.cat(found, dim=1)


def _color(yiq: Tensor) -> Tensor:
    """Return magnitudes [1, 2, h, w] of the two color channels, the mean of 2x2 samples."""
    return F.avg_pool2d(F.pad(yiq[:, 1:], (0, 1, 0, 1)), 2, stride=1).abs()


def _similarity(a: Tensor, b: Tensor) -> Tensor:
    """Return the similarity [1, h, w] of two magnitudes, the mean over their channels."""
    return ((2 * a * b + C) / (a * a + b * b + C)).mean(dim=1)
