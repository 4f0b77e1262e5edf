"""Gains that keep the largest latents within the reach of the coarse index.

A saturated block has a mean of 127.5 * sqrt(768) = 3533 gray levels in an orthonormal basis: at
the finest steps that is further than `scale` times the codebook. A coarser step for those few
channels costs next to nothing; a latent beyond the codebook is a visible fault.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vqcodec.networks.rated import GRAY_LEVELS, QUALITY_MAX, RatedNetwork
from vqcodec.quantizers import Learned

_DENSE_SHARE = 0.9


def coarse_reach(quantizer: Learned) -> float:
    """Return how many steps from zero the dense part of the codebook reaches, enlarged by the coarse scale."""
    norms = quantizer.codebook.detach().norm(dim=1)
    return quantizer.settings.scale * float(norms.quantile(_DENSE_SHARE))


@torch.no_grad()
def flat_reach(network: RatedNetwork) -> Tensor:
    """Return the largest latent [d] that any flat color has by the block basis at the highest quality.

    Crops of photographs seldom hold the most saturated ones, and there no neighbor tells what is to be expected.
    """
    if network.linear is None:
        return network.sigma.new_zeros(network.d)
    sums: Tensor = network.linear.analysis.sum((2, 3)).abs().sum(1)
    quality = torch.full((1,), QUALITY_MAX, device=sums.device)
    return GRAY_LEVELS / 2 * sums * network.gain(quality)[0, :, 0, 0]


@torch.no_grad()
def cap_gains(network: RatedNetwork, quantizer: Learned, z: Tensor) -> int:
    """Lower the gain at the highest quality of wide channels whose latents there leave the reach.

    z float [B, d, h, w] are latents of training pictures at that quality. Returns how many
    channels were lowered; they stay as fine as the codebook allows.
    """
    channels = quantizer.settings.wide * quantizer.d_star
    if channels == 0:
        return 0
    seen = z[:, :channels].float().abs().amax((0, 2, 3))
    largest = torch.maximum(seen, flat_reach(network)[:channels])
    excess = (largest / coarse_reach(quantizer)).log().clamp(min=0)
    network.log_gain[-1, :channels] -= excess
    return int((excess > 0).sum())
