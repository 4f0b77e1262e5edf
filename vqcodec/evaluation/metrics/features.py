"""How far apart a network trained on ImageNet finds two pictures, and two sets of their patches.

The network is EfficientNet-lite2, with which no model here is trained. The loss of the perceptual models takes
EfficientNet-lite0: other weights, but of the same family and the same ImageNet, so that these measures are not
independent of that training.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.evaluation.metrics import learned

Pixels = npt.NDArray[np.uint8]
NETWORK = "lite2"
PATCH, STEP, STRIDE = 64, 32, 16
PATCH_FID = (
    f"Fréchet distance of patches of {PATCH} x {PATCH} pixels, {STEP} apart, by EfficientNet-{NETWORK} at stride "
    f"{STRIDE}; not comparable with published FID, which is of Inception's features; less is better"
)
"""What `patch-fid` in results means."""


def load_features() -> Callable[[Pixels, Pixels], float]:
    """Return the distance of `vqcodec.losses.features.Features` for pictures; SettingsError without the network."""
    return learned.of_units(_loss())


def load_patches() -> Callable[[Pixels], Tensor]:
    """Return what makes features float32 [patches, channels] of a picture, as `windows` does, with the network."""
    import torchmetrics.image.fid  # noqa: F401  `patch_fid` needs it; better missed now than after hours

    network = _loss().net
    return lambda pixels: windows(network, pixels)


@torch.inference_mode()
def windows(network: Callable[[Tensor], list[Tensor]], pixels: Pixels) -> Tensor:
    """Return float32 [patches, channels]: means of a network's last features, at stride 16, over each patch.

    The network sees the whole picture, since its padding around cut patches would weigh more than what is in them;
    a picture with a side below a patch's has none. Features at stride 16 have 120 channels in EfficientNet-lite2,
    so that Kodak's 24 pictures make 69 patches for each; with the 1280 channels behind its last layer the
    covariance would rest on 6 for each, which overlap.
    """
    features = network(learned.batch(pixels) / 255.0)[-1]
    if min(features.shape[2:]) < PATCH // STRIDE:
        return features.new_empty(0, features.shape[1])
    return F.avg_pool2d(features, PATCH // STRIDE, STEP // STRIDE)[0].flatten(1).T


def patch_fid(pairs: Iterable[tuple[Tensor, Tensor]]) -> float | None:
    """Return the Fréchet distance of originals' and copies' patches, for each picture two float [patches, channels].

    |mean - mean'|² + tr(C + C' - 2 (C C')^1/2) over the patches of all pictures. None where there are not more
    patches than channels, as the covariances C could not be of full rank.
    """
    pairs = list(pairs)
    count, channels = sum(len(original) for original, _ in pairs), pairs[0][0].shape[1] if pairs else 0
    if count <= channels:
        return None
    fid = _frechet(channels)
    for original, copy in pairs:
        fid.update(original.double(), real=True)
        fid.update(copy.double(), real=False)
    return float(fid.compute())


def _frechet(channels: int) -> Any:
    """Return torchmetrics' Fréchet distance of what is features already."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Same(nn.Identity):
        num_features = channels

    return FrechetInceptionDistance(feature=Same())


@functools.cache
def _loss() -> Any:
    from vqcodec.losses.features import Features

    return Features(NETWORK).eval()
