"""The differentiable rate of training: what latents would cost under a few classes of densities.

Each latent position belongs to one of C classes (flat, textured, edge in some direction: they
are found, not designed), and a class has one logistic density per channel in natural units
(before the gain), so that the same parameters give the probability of a quantizer cell at
every quality. The bitstream's prior has the same form with integer tables in place of the
densities, which are thrown away when training ends.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vqcodec.choices import TRAINING_RATE_WEIGHT

# No cell costs more than 30 bits: a latent far off must not drown the gradient of all others.
_PROBABILITY_FLOOR = 2.0**-30
# In gray levels: below it a density is a spike that any later latent would fall beside.
_SCALE_FLOOR = 1e-2
# Hard classes only begin what gradients go on with.
_EM_ROUNDS = 8


class Cells(NamedTuple):
    """Density parameters in quantizer steps for each latent: inverse scale and mean, [B, d, h, w]."""

    inverse_scale: Tensor
    mean: Tensor


class ClassDensity(nn.Module):
    """C classes of logistic densities over d channels of deviation sigma [d] (gray levels)."""

    sigma: Tensor

    def __init__(self, d: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("sigma", torch.ones(d))
        self.log_scale = nn.Parameter(torch.zeros(classes, d))
        self.mean = nn.Parameter(torch.zeros(classes, d))
        self.logit = nn.Parameter(torch.zeros(classes))

    @torch.no_grad()
    def fit(self, natural: Tensor, sigma: Tensor) -> None:
        """Start from latents float32 [N, d] in natural units: classes by hard EM, from energy upwards."""
        self.sigma.copy_(sigma)
        classes, x = len(self.logit), (natural / sigma).abs()
        order = x.log1p().sum(1).argsort()
        member = torch.empty_like(order)
        member[order] = torch.arange(len(x), device=x.device) * classes // len(x)
        for _ in range(_EM_ROUNDS):
            scale, share = _class_means(x, member, classes)
            cost = x @ (1 / scale).T + (scale.log().sum(1) - share.log())
            member = cost.argmin(1)
        scale, share = _class_means(x, member, classes)
        # A logistic density of scale s has mean absolute value 2 ln 2 s.
        self.log_scale.copy_((scale / 1.3863).log())
        self.logit.copy_(share.log())

    def classify(self, z: Tensor, gain: Tensor) -> Tensor:
        """Return the cheapest class int64 [B, h, w] for z [B, d, h, w] and gain [B, d, 1, 1]."""
        with torch.no_grad():
            integers = torch.round(z)
            class_bits = -torch.log2(torch.softmax(self.logit, 0))
            costs = [self._class_cost(integers, gain, c) + class_bits[c] for c in range(len(self.logit))]
            return torch.stack(costs).argmin(0)

    def _class_cost(self, integers: Tensor, gain: Tensor, c: int) -> Tensor:
        inverse = 1 / (gain * self._scale()[c, :, None, None])
        return bits(integers, Cells(inverse, gain * (self.mean[c] * self.sigma)[:, None, None])).sum(1)

    def cells(self, classes: Tensor, gain: Tensor) -> Cells:
        """Return the density parameters of classes [B, h, w] in quantizer steps at gain [B, d, 1, 1]."""
        scale = self._scale()[classes].movedim(-1, 1)
        mean = (self.mean * self.sigma)[classes].movedim(-1, 1)
        return Cells(1 / (gain * scale), gain * mean)

    def class_bits(self, classes: Tensor) -> Tensor:
        """Return the bits [B, h, w] of the classes themselves, without context."""
        return -torch.log2(torch.softmax(self.logit, 0))[classes]

    def _scale(self) -> Tensor:
        return (self.log_scale.exp() * self.sigma).clamp(min=_SCALE_FLOOR)


def bits(z: Tensor, cells: Cells) -> Tensor:
    """Return the bits of the cells of width 1 around z, elementwise."""
    # Mirrored to the lower tail, where the difference of two sigmoids keeps its precision.
    offset = -(z - cells.mean).abs()
    upper = torch.sigmoid((offset + 0.5) * cells.inverse_scale)
    lower = torch.sigmoid((offset - 0.5) * cells.inverse_scale)
    return -torch.log2(upper - lower + _PROBABILITY_FLOOR)


@torch.no_grad()
def rate_aware_round(z: Tensor, cells: Cells, weight: float = TRAINING_RATE_WEIGHT) -> tuple[Tensor, Tensor]:
    """Round z, or go one step towards zero where that lowers squared error + weight * bits.

    Returns the integers (float32, the shape of z) and their bits.
    """
    near = torch.round(z)
    lower = near - torch.sign(near)
    near_bits, lower_bits = bits(near, cells), bits(lower, cells)
    better = (z - lower) ** 2 + weight * lower_bits < (z - near) ** 2 + weight * near_bits
    return torch.where(better, lower, near), torch.where(better, lower_bits, near_bits)


def _class_means(x: Tensor, member: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return mean absolute values [C, d] and shares [C]; empty classes fall back on the whole."""
    one_hot = torch.nn.functional.one_hot(member, classes).to(x.dtype)
    count = one_hot.sum(0)
    scale = (one_hot.T @ x + x.mean(0)) / (count[:, None] + 1)
    return scale.clamp(min=1e-3), (count + 1) / (len(x) + classes)
