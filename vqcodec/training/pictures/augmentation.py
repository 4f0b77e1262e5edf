"""Changes of training crops: their scale, their colors, and drawn content."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vqcodec.training.pictures.drawn import draw_over

SMALLEST_RESCALE, LARGEST_RESCALE = 0.6, 1.5
# Limits of factors and of an angle in radians, at which a crop still looks like a picture.
_CONTRAST, _SATURATION, _HUE = 1.6, 1.8, 0.3
# Rec. 601, the weights of red, green and blue in the gray of a color.
_GRAY = torch.tensor([0.299, 0.587, 0.114])


class Augmentation(NamedTuple):
    """The shares of crops that are rescaled, get other colors, and have something drawn on them or in their place."""

    rescale: float = 0.0
    color: float = 0.0
    drawn: float = 0.0

    def source(self, random: np.random.Generator, size: int) -> int:
        """Return the side in pixels of what becomes a crop of `size`."""
        if random.random() >= self.rescale:
            return size
        factor = math.exp(random.uniform(math.log(SMALLEST_RESCALE), math.log(LARGEST_RESCALE)))
        return round(size / factor)

    def change(self, random: np.random.Generator, crop: Tensor) -> Tensor:
        """Return a crop float32 [3, H, W] in [0, 1] with other colors or with something drawn, for a share of them."""
        if random.random() < self.color:
            crop = recolor(random, crop)
        if random.random() < self.drawn:
            pixels = (crop * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
            drawn = torch.from_numpy(draw_over(random, pixels)).permute(2, 0, 1)
            crop = drawn.to(crop.device).float() / 255
        return crop


@dataclass(frozen=True)
class Augmented:
    """The settings of a run whose crops are changed."""

    rescale_share: float = 0.3
    color_share: float = 0.0
    drawn_share: float = 0.0

    @property
    def augmentation(self) -> Augmentation:
        """What is changed in crops."""
        return Augmentation(self.rescale_share, self.color_share, self.drawn_share)


SHARES = dict.fromkeys(("rescale_share", "color_share", "drawn_share"), (0.0, 1.0))
"""The ranges of these settings."""


def recolor(random: np.random.Generator, crop: Tensor) -> Tensor:
    """Return a crop with other contrast, saturation and hue."""
    contrast, saturation = (limit ** random.uniform(-1, 1) for limit in (_CONTRAST, _SATURATION))
    matrix = contrast * saturation * _hue_rotation(random.uniform(-_HUE, _HUE))
    gray = torch.ones(3, 1) @ _GRAY[None]
    matrix = matrix @ (torch.eye(3) - gray) + contrast * gray
    middle = crop.mean((1, 2), keepdim=True)
    return (torch.einsum("ij,jhw->ihw", matrix.to(crop.device), crop - middle) + middle).clamp(0, 1)


def _hue_rotation(angle: float) -> Tensor:
    """Return the rotation [3, 3] about the axis of grays."""
    axis = 1 / math.sqrt(3)
    cross = axis * torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    return math.cos(angle) * torch.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * torch.full((3, 3), 1 / 3)
