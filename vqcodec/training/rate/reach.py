"""Gains that keep the largest latents within the reach of the coarse index.

A saturated block has a mean of 127.5 * sqrt(768) = 3533 gray levels in an orthonormal basis: at
the finest steps that is further than `scale` times the codebook. A coarser step for those few
channels costs next to nothing; a latent beyond the codebook is a visible fault.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vqcodec.networks.rated import RatedNetwork
from vqcodec.quantizers import Learned

# The outermost tenth of a lattice has gaps, where a latent would land far from any codevector. Arms along the axes, as
# a context prior's codebook has them, reach further than this says.
_DENSE_SHARE = 0.9


def coarse_reach(quantizer: Learned) -> float:
    """Return how many steps from zero the dense part of the codebook reaches, enlarged by the coarse scale."""
    norms = quantizer.codebook.detach().norm(dim=1)
    return quantizer.settings.scale * float(norms.quantile(_DENSE_SHARE))


def flat_colors(side: int) -> Tensor:
    """Return flat pictures float32 [8, 3, side, side] of the most saturated colors, the corners of the cube of RGB.

    Crops of photographs seldom hold them, and in the first phase no neighbor tells what is to be expected.
    """
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    return corners[:, :, None, None].repeat(1, 1, side, side)


@torch.no_grad()
def cap_gains(network: RatedNetwork, quantizer: Learned, z: Tensor) -> int:
    """Lower the gain at the highest quality of wide channels whose latents there leave the reach.

    z float [B, d, h, w] are latents of pictures at that quality. Returns how many
    channels were lowered; they stay as fine as the codebook allows.
    """
    channels = quantizer.settings.wide * quantizer.d_star
    if channels == 0:
        return 0
    largest = z[:, :channels].float().abs().amax((0, 2, 3))
    excess = (largest / coarse_reach(quantizer)).log().clamp(min=0)
    network.log_gain[-1, :channels] -= excess
    return int((excess > 0).sum())
