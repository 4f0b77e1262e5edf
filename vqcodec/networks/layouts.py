"""What the released code of LooC makes of latents before it quantizes them, where that is not what the paper says.

To a file it is part of the network: the indices stand for what comes out here, in units of contiguous channels as
always.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def to_subpixels(z: Tensor, scale: int) -> Tensor:
    """Return z [B, d, h, w] interpolated x scale, its cells as scale^2 channels each: [B, d * scale^2, h, w].

    Released for beta (`shuffle_scale`): with units of 4 channels and scale 2 a unit is the 2 x 2 cells of one channel.
    """
    finer = F.interpolate(z, scale_factor=float(scale), mode="bilinear", align_corners=False)
    return F.pixel_unshuffle(finer, scale)


def from_subpixels(z: Tensor, scale: int) -> Tensor:
    """Return [B, d, h, w], the means of the cells of z [B, d * scale^2, h, w]: what to_subpixels was given, blurred."""
    return F.avg_pool2d(F.pixel_shuffle(z, scale), scale)


def rows_and_channels(z: Tensor, size: int) -> Tensor:
    """Return z [B, d, h, w] with rows and channels exchanged in blocks of `size` by `size`; twice is nothing.

    Released for PQ by mistake: a unit of `size` channels at one place becomes `size` rows of one channel. What is left
    of h below a whole block stays as it is.
    """
    batch, d, h, w = z.shape
    whole = h - h % size
    blocks = z[:, :, :whole].reshape(batch, d // size, size, whole // size, size, w)
    z = z.clone()
    z[:, :, :whole] = blocks.transpose(2, 4).reshape(batch, d, whole, w)
    return z
