"""What is measured of a run, held against real files one by one and against slow loops."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from tiny import picture

from vqcodec.codec import Codec
from vqcodec.evaluation import metrics
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.reproduction import lossless, measure, plot, scores
from vqcodec.reproduction.runs import Run
from vqcodec.training.papers import export as autoencoder_export
from vqcodec.training.papers.loop import Autoencoder
from vqcodec.training.papers.settings import AutoencoderSettings
from vqcodec.training.pictures.images import to_pictures

Pixels = npt.NDArray[np.uint8]
SETTINGS: dict[str, dict[str, Any]] = {
    "gray": {"quantizer": "looc", "m": 4, "channels": 1},
    "color": {"quantizer": "pq", "m": 4},
    "conditional": {"quantizer": "looc", "m": 4, "beta": 2, "mode": "conditional"},
    "smooth": {"quantizer": "looc", "m": 2, "beta": 2, "mode": "smooth", "match": "cosine"},
    "one": {"quantizer": "vq"},
}


def pictures(side: int, channels: int, count: int = 5) -> Pixels:
    """Small pictures uint8 [count, side, side, channels]."""
    return np.stack([picture(side, side, seed=i)[..., :channels] for i in range(count)])


def settings_of(kind: str) -> AutoencoderSettings:
    """Settings with a codebook of 8."""
    return AutoencoderSettings(**({"K": 8, "d": 16, "table_bits": 12} | SETTINGS[kind]))


def model_of(kind: str, folder: Path, pixels: Pixels) -> Path:
    """The file of a model that was never trained, its codevectors spread so that all sorts are used."""
    state = Autoencoder(settings_of(kind), torch.device("cpu"))
    with torch.no_grad():
        for parameter in state.quantizer.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    path = folder / f"{kind}.safetensors"
    path.write_bytes(model_file.to_bytes(*autoencoder_export.export(state, [to_pictures(torch.from_numpy(pixels))])))
    return path


@pytest.mark.parametrize("kind", SETTINGS)
def test_figures_are_those_of_real_files(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "BATCH", 2)
    pixels = pictures(28, 1) if kind == "gray" else pictures(32, 3)
    path = model_of(kind, tmp_path, pixels)
    found = measure.measure(path, pixels)
    codec = Codec.open(path)
    colors = [np.repeat(p, 3, axis=2) if kind == "gray" else p for p in pixels]
    # Without the section that says gray, which sets for research do not count.
    files = [codec.pack(codec.encode(p)) for p in colors]
    back = [codec.decompress(data).pixels for data in files]
    area = pixels.shape[1] * pixels.shape[2]
    assert found["pictures"] == len(pixels)
    assert found["bytes"] == sum(map(len, files)) / len(files)
    assert found["bpp"]["file"] == 8 * found["bytes"] / area
    assert found["bpp"]["payload"] == 8 * sum(len(container.read(f).indices) for f in files) / len(files) / area
    quantizer = codec.quantizer.settings
    cells = (pixels.shape[1] // 4) * (pixels.shape[2] // 4)
    stored = cells * (4 if kind == "conditional" else 1)
    assert found["bpp"]["paper"] == cells * quantizer.m * 3 / area
    assert found["bpp"]["decoder"] == stored * quantizer.m * 3 / area
    assert found["lossless"]["psnr_db"] == pytest.approx(
        np.mean([metrics.psnr(a, b) for a, b in zip(colors, back, strict=True)]), rel=1e-12
    )
    indices = np.stack([codec.unpack(container.read(data)).choice.indices for data in files])
    assert indices[0].size == stored * quantizer.m
    check_usage(found, indices, kind == "color")


def test_as_many_pictures_are_coded_at_once_as_their_size_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = pictures(32, 3)
    path, code = model_of("one", tmp_path, pixels), measure._code
    seen: list[int] = []

    def counted(codec: Codec, batch: Pixels) -> measure.Reconstruction:
        seen.append(len(batch))
        return code(codec, batch)

    monkeypatch.setattr(measure, "_code", counted)
    for most, area, expected in ((9, 4 * 32**2 - 1, [3, 2]), (2, 4 * 32**2, [2, 2, 1]), (9, 99, [1] * 5)):
        monkeypatch.setattr(measure, "BATCH", most)
        monkeypatch.setattr(measure, "BATCH_PIXELS", area)
        assert measure.measure(path, pixels)["pictures"] == 5 and seen == expected
        seen.clear()


def check_usage(found: dict[str, Any], indices: npt.NDArray[np.uint16], own: bool) -> None:
    """Compare usage, perplexity and sharing with sets of indices [N, P, h', w'] of K = 8."""
    units = [indices[:, i].reshape(-1).tolist() for i in range(indices.shape[1])]
    books = units if own else [[index for unit in units for index in unit]]
    assert found["usage"] == sum(len(set(book)) for book in books) / (8 * len(books))
    assert found["usage"] > 0 and found["unit_usage"] == [len(set(unit)) / 8 for unit in units]
    perplexities = [math.exp(-sum(p * math.log(p) for p in shares(book))) for book in books]
    assert found["perplexity"] == pytest.approx(np.mean(perplexities))
    shared = [sum(k in unit for unit in units) for k in range(8)]
    assert found["units_per_codevector"] == ([] if own or len(units) == 1 else shared)


def shares(values: list[int]) -> list[float]:
    """How large a part of a list each of its values is."""
    return [values.count(value) / len(values) for value in set(values)]


def slow_ssim(a: Pixels, b: Pixels) -> float:
    """SSIM of uint8 [H, W, 3], window by window."""
    size, c1, c2 = 11, 0.01**2, 0.03**2
    values = []
    for channel in range(3):
        for y in range(a.shape[0] - size + 1):
            for x in range(a.shape[1] - size + 1):
                u, v = (p[y : y + size, x : x + size, channel].astype(np.float64).ravel() / 255 for p in (a, b))
                covariance = np.cov(u, v)
                top = (2 * u.mean() * v.mean() + c1) * (2 * covariance[0, 1] + c2)
                bottom = (u.mean() ** 2 + v.mean() ** 2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2)
                values.append(top / bottom)
    return float(np.mean(values))


def through_jpeg(pixels: Pixels) -> Pixels:
    """A picture as JPEG of quality 75 and back."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=75)
    return np.array(Image.open(file).convert("RGB"))


def test_scores_are_those_of_slow_loops() -> None:
    random = np.random.default_rng(0)
    originals = pictures(28, 3, 3)
    copies = (originals + random.normal(0, 12, originals.shape)).clip(0, 255).astype(np.uint8)
    copies[2] = originals[2]
    found = scores.scores(originals, copies)
    for i, (a, b) in enumerate(zip(originals, copies, strict=True)):
        assert found["psnr_db"][i] == pytest.approx(metrics.psnr(a, b), rel=1e-12)
        assert found["ssim"][i] == pytest.approx(slow_ssim(a, b), abs=1e-12)
        assert found["l1"][i] == pytest.approx(np.abs(a.astype(float) - b).mean() / 255, rel=1e-12, abs=0)
    assert found["psnr_db"][2] == 100 and found["ssim"][2] == 1 and found["ssim"][0] < 0.999


def test_the_papers_way_is_by_whole_values_and_jpeg() -> None:
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 1.2 - 0.1
    cut = np.floor(x.clamp(0, 1).numpy() * np.float32(255)).astype(np.uint8).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(scores.papers_pixels(x), np.stack([through_jpeg(p) for p in cut]))
    assert (scores.rounded(x) != cut).any()
    values = torch.arange(256, dtype=torch.float32) / 255
    signed = (values - 0.5) / 0.5
    assert torch.equal(scores.papers_original(values), (signed + 1) / 2)
    assert int((scores.papers_original(values) * 255).to(torch.uint8).ne(torch.arange(256)).sum()) == 63


def test_both_ways_are_measured_of_the_same_pictures(tmp_path: Path) -> None:
    pixels = pictures(32, 3)
    path = model_of("color", tmp_path, pixels)
    codec = Codec.open(path)
    z = codec.quantizer.decode(codec.quantizer.encode(torch.cat([codec.analyze(p, 50.0) for p in pixels])))
    shown = codec.network.synthesis(z, torch.full((len(pixels),), 50.0)).numpy().transpose(0, 2, 3, 1)
    copies = [through_jpeg((p.clip(0, 1) * np.float32(255)).astype(np.uint8)) for p in shown]
    values = (2 * (pixels.astype(np.float32) / np.float32(255)) - 1 + 1) / 2 * np.float32(255)
    originals = [through_jpeg(p) for p in values.astype(np.uint8)]
    found = measure.measure(path, pixels)["papers"]
    pairs = list(zip(originals, copies, strict=True))
    assert found["psnr_db"] == pytest.approx(np.mean([metrics.psnr(a, b) for a, b in pairs]), abs=0.02)
    assert found["ssim"] == pytest.approx(np.mean([slow_ssim(a, b) for a, b in pairs]), abs=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_formats_are_lossless_and_their_bytes_are_counted(channels: int) -> None:
    pixels = pictures(28, channels, 3)
    stored = pixels[..., 0] if channels == 1 else pixels
    found = lossless.mean_bytes(pixels)
    for kind in lossless.FORMATS:
        files = [kind().encode(p, 100.0) for p in stored]
        assert found[kind.name] == sum(map(len, files)) / 3
        for data, original in zip(files, pixels, strict=True):
            np.testing.assert_array_equal(kind().decode(data), np.broadcast_to(original, (28, 28, 3)))
    with Image.open(io.BytesIO(lossless.Png().encode(stored[0], 100.0))) as image:
        assert image.mode == ("L" if channels == 1 else "RGB")


def test_the_plot_names_every_way_to_quantize_and_the_lossless_formats() -> None:
    points = [
        (
            Run("mnist", settings_of(kind)),
            {"measured": {"bytes": size, "pictures": 5, "lossless": {"psnr_db": 30.0 + i}}},
        )
        for i, (kind, size) in enumerate((("color", 90.0), ("one", 60.0), ("gray", 95.0), ("smooth", 80.0)))
    ]
    points.append((Run("mnist", AutoencoderSettings(quantizer="looc", K=32, m=4)), points[0][1]))
    points.append((Run("mnist", AutoencoderSettings(quantizer="cvq", losses={"l1": 2}, adversarial=1)), points[0][1]))
    figure = plot.draw("mnist", points, {"bytes": {"png": 200.0, "webp": 150.0}})
    axes = figure.axes[0]
    texts = {text.get_text() for text in axes.texts}
    assert {"PQ, l2", "VQ-VAE, l2", "LooC, l2", "LooC β smooth, cosine", "PNG", "lossless WebP"} <= texts
    assert "CVQ-VAE + l1 + discriminator, l2" in texts
    assert {"8 × 4", "32 × 32"} <= texts and "8 × 16" not in texts, "sizes only where a method has several"
    drawn = {tuple(map(float, point)) for line in axes.lines for point in zip(*line.get_data(), strict=True)}
    assert {(90.0, 30.0), (60.0, 31.0), (95.0, 32.0), (80.0, 33.0)} <= drawn
    low, high = axes.get_xlim()
    assert low < 60 and high > 200 and axes.get_xscale() == "log"


def test_the_plot_tells_betas_apart_and_does_not_magnify_small_differences() -> None:
    points = [
        (
            Run("mnist", AutoencoderSettings(quantizer="looc", K=8, m=4, beta=beta, mode=mode)),
            {"measured": {"bytes": 100.0 * beta, "pictures": 5, "lossless": {"psnr_db": 30.0 + 0.02 * beta}}},
        )
        for mode in ("all", "smooth")
        for beta in (2, 3)
    ]
    axes = plot.draw("mnist", points, None).figure.axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("β 2") == texts.count("β 3") == 2 and not any("8 × " in text for text in texts)
    low, high = axes.get_ylim()
    assert low < 30.04 and high > 30.06 and high - low == pytest.approx(1.0)
