"""How far two sets of small pictures are apart: Fréchet distance of a network's features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from vqcodec.errors import InputError
from vqcodec.evaluation.metrics.features import NETWORK, patch_fid
from vqcodec.generation.sequences import at_once
from vqcodec.losses.features import FeatureNet
from vqcodec.training.pictures.images import to_pictures

Pixels = npt.NDArray[np.uint8]
SIDE, CHANNELS = 64, 120
LEAST = CHANNELS + 1
"""The fewest pictures that a distance is of: covariances of fewer are not of full rank."""
NAME = (
    f"Fréchet distance of the features of EfficientNet-{NETWORK} at stride 16, {CHANNELS} channels, a mean over each "
    f"picture, which is enlarged to {SIDE} pixels along its shorter side; not comparable with published FID, which "
    "is of Inception's features"
)
"""What the distance is."""


def require() -> None:
    """Raise SettingsError or ModuleNotFoundError where what a distance needs is not installed."""
    import torchmetrics.image.fid  # noqa: F401

    FeatureNet(NETWORK)


class Distances:
    """Distances to some pictures uint8 [N, H, W, C]; SettingsError where the network is not here."""

    def __init__(self, pixels: Pixels) -> None:
        self.network = FeatureNet(NETWORK)
        self.features = self._features(pixels)

    def to(self, pixels: Pixels) -> float:
        """Return the distance of pictures uint8 [M, H, W, C] from these; InputError for too few."""
        found = patch_fid([(self.features, self._features(pixels)[: len(self.features)])])
        if found is None or len(pixels) < len(self.features):
            raise InputError(
                f"{min(len(pixels), len(self.features))} pictures are too few for a Fréchet distance of "
                f"{self.features.shape[1]} features; take more (--count)"
            )
        return found

    @torch.inference_mode()
    def _features(self, pixels: Pixels) -> Tensor:
        count = at_once(max(SIDE**2, pixels.shape[1] * pixels.shape[2]))
        return torch.cat([self._of(pixels[i : i + count]) for i in range(0, len(pixels), count)])

    def _of(self, pixels: Pixels) -> Tensor:
        x = to_pictures(torch.from_numpy(pixels))
        scale = SIDE / min(x.shape[2:])
        x = F.interpolate(x, scale_factor=scale, mode="bilinear", antialias=True) if scale > 1 else x
        features: Tensor = self.network(x)[-1].mean((2, 3))
        return features
