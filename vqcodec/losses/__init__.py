"""What a reconstruction is compared with its original by, each a module of (x, y) that gives a scalar.

    pixel.py         l1, l2             differences of samples
    structure.py     structure          MS-SSIM and differences of neighbors
    ssimulacra.py    ssimulacra2        SSIMULACRA 2, with `scores` as in the evaluation
    features.py      features           features of EfficientNet-lite (extra `features`), and `FeatureNet`
                     semantic           what such a network sees last, and its logits
    lpips.py         lpips              LPIPS of torchmetrics (extra `perceptual`)
    filters.py                          blur, halving, bounds
    adversarial.py                      a discriminator of patches, its losses and its weight

x is the original, y the reconstruction, float32 [B, 3, H, W] in 0..1, y also a little outside; gradients are for y.
Identical pictures have the loss 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn

from vqcodec.errors import SettingsError
from vqcodec.losses.features import Features, Semantic
from vqcodec.losses.lpips import Lpips
from vqcodec.losses.pixel import L1, L2
from vqcodec.losses.ssimulacra import Ssimulacra2
from vqcodec.losses.structure import Structure

LOSSES: dict[str, type[nn.Module]] = {
    "l1": L1,
    "l2": L2,
    "structure": Structure,
    "ssimulacra2": Ssimulacra2,
    "features": Features,
    "semantic": Semantic,
    "lpips": Lpips,
}


class Weighted(nn.Module):
    """A weighted sum of losses."""

    def __init__(self, losses: Mapping[str, nn.Module], weights: Mapping[str, float]) -> None:
        super().__init__()
        self.losses = nn.ModuleDict(losses)
        self.weights = dict(weights)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return the scalar and the value of each loss before its weight, for pictures float32 [B, 3, H, W]."""
        values = {name: loss(x, y) for name, loss in self.losses.items()}
        total = sum((self.weights[name] * value for name, value in values.items()), start=x.new_zeros(()))
        return total, {name: value.item() for name, value in values.items()}


def build(weights: Mapping[str, float]) -> Weighted:
    """Return the sum of the named losses, all of whose networks are loaded.

    SettingsError for unknown names, weights that are not above 0, or a network that is not here.
    """
    if not weights:
        raise SettingsError(f"no loss is named; choose from {', '.join(LOSSES)}")
    check(weights)
    return Weighted({name: LOSSES[name]() for name in weights}, weights)


def check(weights: Mapping[str, float]) -> None:
    """Raise SettingsError for unknown names, or weights that are not above 0."""
    for name, weight in weights.items():
        if name not in LOSSES:
            raise SettingsError(f"there is no loss {name!r}; choose from {', '.join(LOSSES)}")
        if not (math.isfinite(weight) and weight > 0):
            raise SettingsError(f"the weight of the loss {name} is {weight}; give a number above 0, or leave it out")
