"""PSNR, SSIM and mean absolute error of many small pictures at once, and the papers' way to the pixels.

The published code (CVQ-VAE, which LooC took over) measures neither the network's output nor its rounding: original
and reconstruction are cut down to whole values, written as JPEG, read back, and then compared.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from vqcodec.evaluation.metrics import MAX_DB
from vqcodec.evaluation.pillow_codec import PillowCodec
from vqcodec.networks.layers import from_signed, to_signed

Pixels = npt.NDArray[np.uint8]
NAMES = ("psnr_db", "ssim", "l1")
WINDOW = 11
_C1, _C2 = 0.01**2, 0.03**2
_JPEG_QUALITY = 75


class PlainJpeg(PillowCodec):
    """JPEG as imageio writes it unless told otherwise: 4:2:0, with the standard's tables."""

    name, label, format, library = "jpeg-plain", "JPEG 4:2:0, plain", "JPEG", "jpg"
    options = MappingProxyType({"subsampling": "4:2:0"})


def scores(originals: Pixels, copies: Pixels) -> dict[str, Tensor]:
    """Return float64 [B] for each of NAMES, of pixels uint8 [B, H, W, C]; `l1` is in units of the whole range.

    A picture that comes back exactly has 100 dB.
    """
    a, b = _planes(originals), _planes(copies)
    error = a - b
    psnr_db = (-10 * error.square().mean((1, 2, 3)).log10()).clamp(max=MAX_DB)
    return {"psnr_db": psnr_db, "ssim": ssim(a, b), "l1": error.abs().mean((1, 2, 3))}


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Return float64 [B], the SSIM of float64 [B, C, H, W] in [0, 1] with windows of 11 x 11 equal weights.

    As scikit-image has it: variances and covariance are those of samples (divided by n - 1), windows lie
    wholly inside, and the mean is over windows and channels.
    """
    mean_a, mean_b = _window(a), _window(b)
    unbiased = WINDOW**2 / (WINDOW**2 - 1)
    variance_a = unbiased * (_window(a * a) - mean_a * mean_a)
    variance_b = unbiased * (_window(b * b) - mean_b * mean_b)
    covariance = unbiased * (_window(a * b) - mean_a * mean_b)
    likeness = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    return (likeness / ((mean_a**2 + mean_b**2 + _C1) * (variance_a + variance_b + _C2))).mean((1, 2, 3))


def rounded(x: Tensor) -> Pixels:
    """Return the pixels uint8 [B, H, W, 3] that a decoder shows for x [B, 3, H, W]."""
    return _pixels((x * 255).round().clamp(0, 255))


def papers_pixels(x: Tensor) -> Pixels:
    """Return x [B, 3, H, W] cut down to whole values and through JPEG, as uint8 [B, H, W, 3]."""
    jpeg = PlainJpeg()
    cut = _pixels(x.clamp(0, 1) * 255)
    return np.stack([jpeg.decode(jpeg.encode(pixels, _JPEG_QUALITY)) for pixels in cut])


def papers_original(x: Tensor) -> Tensor:
    """Return pictures x in [0, 1] as the published code has them: by way of [-1, 1].

    In float32 that makes 63 of the 256 values a little smaller, and cutting them down then takes a whole one.
    """
    return from_signed(to_signed(x))


def _planes(pixels: Pixels) -> Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).double() / 255


def _pixels(x: Tensor) -> Pixels:
    array: Pixels = x.to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return array


def _window(x: Tensor) -> Tensor:
    return F.avg_pool2d(F.avg_pool2d(x, (WINDOW, 1), 1), (1, WINDOW), 1)
