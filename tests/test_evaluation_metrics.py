"""Each metric against another implementation: values by piq 0.8.0, SSIMULACRA 2 against tests/reference_metrics.py."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from reference_metrics import recursive_gaussian, ssimulacra2
from tiny import picture
from torchmetrics.image.fid import FrechetInceptionDistance

from vqcodec.errors import SettingsError
from vqcodec.evaluation import metrics
from vqcodec.evaluation.metrics import learned, ssimulacra
from vqcodec.scores import psnr_db

Pixels = npt.NDArray[np.uint8]
NAMES = ("psnr", "psnr-y", "ssim", "ms-ssim", "ssimulacra2", "haarpsi", "vif")


def waves(height: int, width: int) -> Pixels:
    """A picture that arithmetic alone makes, so that recorded values hold everywhere."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 128 + 90 * np.sin(x / 5 + y / 17), 128 + 70 * np.sin((x * x + y * y) / 900)
    return np.stack([red, green, (3 * x + 2 * y) % 256], axis=2).clip(0, 255).astype(np.uint8)


def coarse(pixels: Pixels, step: int = 24) -> Pixels:
    """A copy with few gray levels."""
    return (pixels // step * step + step // 2).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("ssim", (176, 201), 0.8678856),
        ("ssim", (64, 45), 0.8102169),
        ("ms-ssim", (176, 192), 0.9835427),
        ("haarpsi", (176, 201), 0.9751638947),
        ("haarpsi", (64, 45), 0.9463795661),
        ("vif", (176, 201), 0.66606),
        ("vif", (64, 45), 0.55380),
    ],
)
def test_values_of_piq(name: str, size: tuple[int, int], expected: float) -> None:
    original = waves(*size)
    assert metrics.load(name)(original, coarse(original)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("size", [(97, 64), (33, 50), (8, 8)])
def test_ssimulacra2_is_libjxls(size: tuple[int, int]) -> None:
    original = waves(*size)
    for step in (8, 60):
        expected = ssimulacra2(original, coarse(original, step))
        assert metrics.load("ssimulacra2")(original, coarse(original, step)) == pytest.approx(expected, abs=1e-5)


def test_taps_are_the_impulse_response_of_libjxls_gaussian() -> None:
    impulse = np.zeros(41)
    impulse[20] = 1
    assert recursive_gaussian(impulse)[16:25] == pytest.approx(ssimulacra.TAPS, abs=1e-12)


def test_psnr_by_hand() -> None:
    original = np.full((4, 6, 3), 100, np.uint8)
    copy = original.copy()
    copy[:2, :, 0] += 12  # half the pixels, one channel of three
    assert metrics.psnr(original, copy) == pytest.approx(10 * math.log10(255**2 / (144 / 6)))
    assert metrics.psnr_luma(original, copy) == pytest.approx(10 * math.log10(255**2 / (0.299**2 * 144 / 2)))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_picture_is_best_and_more_loss_is_worse(name: str) -> None:
    original = waves(176, 168)
    measure, axis = metrics.load(name), metrics.METRICS[name].on_axis
    values = [measure(original, copy) for copy in (original, coarse(original, 8), coarse(original, 60))]
    assert values[0] == pytest.approx(100 if name in ("psnr", "psnr-y", "ssimulacra2") else 1)
    assert [axis(value) for value in values] == sorted(map(axis, values), reverse=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("gray", [0, 255])
def test_flat_pictures_have_finite_values(name: str, gray: int) -> None:
    flat = np.full((170, 170, 3), gray, np.uint8)
    assert math.isfinite(metrics.load(name)(flat, flat))


def test_a_picture_below_the_window_is_not_measured_and_one_of_its_size_is() -> None:
    for name in NAMES:
        side = metrics.METRICS[name].min_side
        enough, small = waves(side, side + 3), waves(side + 3, side - 1)
        assert metrics.compare([name], enough, coarse(enough))[name] is not None
        if side > 1:
            assert metrics.compare([name], small, coarse(small)) == {name: None}


def test_axes_point_up() -> None:
    assert metrics.METRICS["ms-ssim"].on_axis(0.99) == pytest.approx(20)
    assert metrics.METRICS["ms-ssim"].on_axis(1.0) == 100
    assert metrics.METRICS["lpips"].on_axis(0.3) == -0.3
    assert metrics.METRICS["psnr"].on_axis(31.5) == 31.5


def test_an_unknown_metric_is_an_error_and_an_unusable_one_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"no metric 'psrn'; choose from psnr, "):
        metrics.usable(["psrn"])

    def fail(name: str) -> metrics.Function:
        if name == "dists":
            raise ModuleNotFoundError("DISTS requires that torchvision is installed")
        if name == "lpips":
            raise OSError("no network\nand more")
        return metrics.psnr

    monkeypatch.setattr(metrics, "load", fail)
    found, notes = metrics.usable(["dists", "psnr", "lpips", "psnr"])
    assert [metric.name for metric in found] == ["psnr"]
    assert notes == [
        "dists is left out: it needs torchvision; pip install 'vqcodec[perceptual]'",
        "lpips is left out: no network",
    ]


@pytest.mark.parametrize("name", ["lpips", "dists", "rfid"])
def test_networks_are_either_usable_or_left_out_with_a_reason(name: str) -> None:
    found, notes = metrics.usable([name])
    assert len(found) + len(notes) == 1


class Averages(torch.nn.Module):
    """Features whose Fréchet distance can be computed by hand: the mean of each channel."""

    num_features = 3

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return [N, 3]."""
        return pictures.float().mean(dim=(2, 3))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_rfid_is_the_frechet_distance_of_the_set() -> None:
    originals = [waves(40 + 9 * i, 50) for i in range(6)]
    copies = [coarse(pixels, 90) for pixels in originals]
    a, b = (np.array([p.mean(axis=(0, 1)) for p in pictures]) for pictures in (originals, copies))
    fid = FrechetInceptionDistance(feature=Averages())
    found = learned.rfid(zip(originals, copies, strict=True), fid)
    product = np.linalg.eigvals(np.cov(a.T) @ np.cov(b.T)).astype(complex)
    spread = np.trace(np.cov(a.T) + np.cov(b.T)) - 2 * np.sqrt(product).real.sum()
    assert found == pytest.approx(((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + spread, rel=1e-3)
    assert learned.rfid([(originals[0], copies[0])], fid) is None


def test_psnr_is_the_one_of_rate_control() -> None:
    a, b = picture(31, 45, seed=1), picture(31, 45, seed=2)
    assert psnr_db(a, b) == pytest.approx(metrics.psnr(a, b), abs=1e-9)
    assert psnr_db(a, a) == metrics.psnr(a, a) == 100
