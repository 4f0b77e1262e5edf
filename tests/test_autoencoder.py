"""Training an autoencoder: every method ends as a model that compresses real files, and a resumed run is the same."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tiny import Run, picture

from vqcodec import training
from vqcodec.codec import Codec
from vqcodec.errors import InputError, SettingsError
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.image import Picture
from vqcodec.quantizers import Quantized, names
from vqcodec.training.papers.loop import Autoencoder, AutoencoderTrainer
from vqcodec.training.papers.settings import AutoencoderSettings
from vqcodec.training.recipe import make_settings

EXTERNAL = {"fsq", "lfq", "simvq", "rotation"}
METHODS: dict[str, dict[str, Any]] = {
    "fsq": {"levels": (4, 3)},
    "lfq": {"K": 16},
    "dual": {"options": {"layers": 1, "heads": 2, "feedforward": 16}, "d": 16},
    "looc": {"m": 4},
    "pq": {"m": 4},
}
VARIANTS = {
    "looc-all": {"quantizer": "looc", "m": 4, "beta": 2},
    "looc-conditional": {"quantizer": "looc", "m": 4, "beta": 2, "mode": "conditional"},
    "looc-quick": {"quantizer": "looc", "m": 4, "options": {"learn": "ema"}, "schedule": "cosine", "adam_beta2": 0.95},
    "sq-standardised": {"quantizer": "sq", "standardised": True, "options": {"variance": 20.0, "pace": 20.0}},
    "looc-subpixel": {"quantizer": "looc", "m": 16, "subpixel": 2},
    "pq-rows": {"quantizer": "pq", "m": 4, "rows": 4, "match": "cosine", "options": {"anchor": "probrandom"}},
    "vq-semantic": {"quantizer": "vq", "losses": {"semantic": 0.1, "l1": 0.5}},
    "looc-smooth": {"quantizer": "looc", "m": 4, "beta": 2, "mode": "smooth"},
}


def settings_of(method: str, **changes: Any) -> AutoencoderSettings:
    """Settings of a run of a few steps."""
    common = {"network": "vqvae", "K": 16, "d": 16, "steps": 4, "batch": 2, "crop": 32, "threads": 1, "table_bits": 12}
    if method in ("fsq", "lfq"):
        del common["d"], common["K"]
    own = VARIANTS.get(method) or {"quantizer": method} | METHODS.get(method, {})
    made = make_settings(None, common | own | changes)
    assert isinstance(made, AutoencoderSettings)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three small pictures."""
    pictures = tmp_path_factory.mktemp("pictures")
    for i in range(3):
        Image.fromarray(picture(40, 48, seed=i)).save(pictures / f"{i}.png")
    return pictures


def require_package(method: str) -> None:
    if method in EXTERNAL and importlib.util.find_spec("vector_quantize_pytorch") is None:
        pytest.skip("needs vector-quantize-pytorch")


@pytest.mark.parametrize("method", [*names(), *VARIANTS])
def test_a_resumed_run_equals_an_uninterrupted_one_and_compresses(folder: Path, tmp_path: Path, method: str) -> None:
    require_package(method)
    settings = settings_of(method)
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    assert training.run([folder], whole, settings, resume=False)
    assert not training.run([folder], parts, settings, resume=False, stop_after=2)
    assert not parts.exists()
    assert training.run([folder], parts, settings, resume=True)
    assert model_file.load(whole)[0].fingerprint == model_file.load(parts)[0].fingerprint
    codec = Codec.open(whole)
    pixels = picture(30, 45, seed=9)
    encoded = codec.encode(pixels)
    data = codec.compress(Picture(pixels))
    header = container.read(data).header
    assert header.layout == settings.quantizer_settings().layout and (header.K, header.m) == (settings.K, settings.m)
    assert np.array_equal(codec.unpack(container.read(data)).choice.indices, encoded.choice.indices)
    assert np.array_equal(codec.decompress(data).pixels, codec.decode(encoded))
    assert len(data) - len(container.read(data).indices) <= 40


@pytest.mark.parametrize("method", ["vq", "looc"])
def test_the_encoder_takes_the_indices_that_training_saw(folder: Path, tmp_path: Path, method: str) -> None:
    model = tmp_path / "model.safetensors"
    assert training.run([folder], model, settings_of(method), resume=False)
    codec = Codec.open(model)
    pixels = picture(32, 32, seed=5)
    z = codec.analyze(pixels, 50.0)
    assert np.array_equal(codec.encode(pixels).choice.indices, codec.quantizer.encode(z)[0].numpy())


def test_other_losses_are_added_and_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AutoencoderTrainer, "log_steps", 1)
    x, logs = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)), []
    totals, loss = [], AutoencoderTrainer._loss

    def noted(self: AutoencoderTrainer, *seen: Any) -> Any:
        found = loss(self, *seen)
        totals.append(found.value)
        return found

    monkeypatch.setattr(AutoencoderTrainer, "_loss", noted)
    for weights in ({}, {"l1": 0.5}):
        state = Autoencoder(settings_of("vq", steps=1, losses=weights), torch.device("cpu"))
        assert AutoencoderTrainer(state, lambda _: x, 1.0, tmp_path / f"{len(weights)}.checkpoint").run()
        logs.append(state.progress.log[0])
    assert "l1" not in logs[0] and logs[1]["l1"] > 0
    assert totals[1] == pytest.approx(totals[0] + 0.5 * logs[1]["l1"], rel=1e-4)


def test_reconstruction_improves(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    assert training.run([folder], path, settings_of("looc", steps=120, batch=4), resume=False)
    log = torch.load(training.checkpoint_path(path), weights_only=True)["progress"]["log"]
    assert log[-1]["psnr_db"] > log[0]["psnr_db"] + 1
    assert {"usage", "perplexity", "step", "seconds"} <= set(log[0])


def test_the_loss_is_the_papers(folder: Path, tmp_path: Path) -> None:
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for method in ("vq", "sq"):
        state = Autoencoder(settings_of(method, quantizer_weight=0.5), torch.device("cpu"))
        trainer = AutoencoderTrainer(state, lambda step: x, 0.07, tmp_path / "none")
        mse, loss, z_q = torch.tensor(0.02), torch.tensor(3.0), torch.zeros(2, 16, 8, 8)
        quantized = Quantized(z_q, torch.zeros(1), loss, torch.zeros(1))
        total = float(trainer._total(mse, quantized, x))
        # VQ-VAE: pixels of -1..1 over the variance of those of 0..1. SQ-VAE: D / 2 log(mse) + n loss, over D / 2.
        signed = F.mse_loss(2 * x - 1, 2 * (x + mse.sqrt()) - 1) / 0.07 + 0.5 * 3
        bound = (3072 / 2 * math.log(0.02) + 0.5 * 16 * 64 * 3) / (3072 / 2)
        assert total == pytest.approx(float(signed) if method == "vq" else bound, rel=1e-4)


def test_the_learning_rate_rises_and_falls_along_half_a_cosine() -> None:
    state = Autoencoder(settings_of("vq", learning_rate=0.01, schedule="cosine", adam_beta2=0.9), torch.device("cpu"))
    trainer = AutoencoderTrainer(state, lambda _: torch.zeros(1, 3, 32, 32), 0.07, Path("none"))
    assert state.optimizer.param_groups[0]["betas"] == (0.9, 0.9)
    rates = {}
    for step in (0, 49, 100, 500, 750, 1000):
        state.progress.step = step
        trainer.set_rates(step / 1000)
        rates[step] = state.optimizer.param_groups[0]["lr"]
    half = [0.01, 0.005 * (1 + math.cos(0.049 * math.pi)), 0.005 * (1 + math.cos(0.1 * math.pi))]
    expected = [half[0] / 100, half[1] / 2, half[2], 0.005, 0.005 * (1 - math.sqrt(0.5)), 0]
    assert list(rates.values()) == pytest.approx(expected, abs=1e-12)


def test_settings_that_do_not_fit_are_refused() -> None:
    for values, match in (
        ({"quantizer": "pq", "m": 7}, "do not divide"),
        ({"quantizer": "vq", "network": "vqvae", "m": 2}, "m=2"),
        ({"quantizer": "rq", "depth": 17}, "depth=17"),
        ({"quantizer": "pq", "network": "photo"}, "photo"),
        ({"quantizer": "pq", "prior": "context"}, "no setting prior"),
        ({"quantizer": "pq", "width": 8}, "width"),
        ({"quantizer": "pq", "batch": 0}, "batch=0"),
        ({"quantizer": "pq", "network": "vqgan", "rows": 4}, "rows are for network vqvae, not vqgan"),
        ({"quantizer": "pq", "rows": 4, "standardised": True}, "leave subpixel, rows or it out"),
        ({"quantizer": "pq", "steps": 0}, "--steps"),
        ({"quantizer": "vq", "network": "vqvae", "losses": {"l3": 1.0}}, "no loss 'l3'"),
        ({"quantizer": "sq", "network": "vqvae", "losses": {"l1": 1.0}}, "'sq' has a loss of another kind"),
        ({"quantizer": "pq", "schedule": "linear"}, "schedule 'linear' is unknown; choose one of constant, cosine"),
        ({"quantizer": "pq", "adam_beta2": 1}, "adam_beta2=1 is outside"),
        ({"quantizer": "pq", "network": "vqvae", "match": "near"}, "match 'near'"),
    ):
        with pytest.raises(SettingsError, match=match):
            make_settings(None, values)


def test_resuming_needs_the_same_settings(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.safetensors"
    assert not training.run([folder], output, settings_of("vq"), resume=False, stop_after=1)
    with pytest.raises(SettingsError, match="K=16"):
        training.run([folder], output, settings_of("vq", K=8), resume=True)
    values = torch.load(training.checkpoint_path(output), weights_only=True)
    older = {key: value for key, value in values["settings"].items() if key != "schedule"}
    torch.save(values | {"settings": older}, training.checkpoint_path(output))
    assert not training.run([folder], output, settings_of("vq"), resume=True, stop_after=2), "as from before it was one"
    torch.save(values | {"network": {}}, training.checkpoint_path(output))
    with pytest.raises(InputError, match="another version"):
        training.run([folder], output, settings_of("vq"), resume=True)
    torch.save({"step": 3}, training.checkpoint_path(output))
    with pytest.raises(InputError, match="not a checkpoint of vqc train"):
        training.resumed_settings(output)


def test_the_command_line_trains_any_method_and_its_files_come_back(run: Run, folder: Path, tmp_path: Path) -> None:
    model, file, back = tmp_path / "m.safetensors", tmp_path / "a.vqc", tmp_path / "a.png"
    (tmp_path / "small.toml").write_text("d = 16\nbatch = 2\ncrop = 32\n")
    options = ("--recipe", tmp_path / "small.toml", "--quantizer", "rq", "--depth", 3, "-K", 16, "--steps", 2)
    trained = run("train", folder, *options, "-o", model)
    assert trained.code == 0, trained.err
    assert run("compress", folder / "0.png", "--model", model, "-o", file).code == 0
    assert b"rq" in run("info", file, "--model", model).out
    assert run("decompress", file, "--model", model, "-o", back).code == 0
    with Image.open(back) as shown:
        assert shown.size == (48, 40)


def test_options_of_a_method_are_checked(run: Run, folder: Path, tmp_path: Path) -> None:
    common = ("train", folder, "--quantizer", "cvq", "--steps", 2, "-o", tmp_path / "m.safetensors")
    assert "not of the form NAME=VALUE" in run(*common, "-O", "anchor").err
    wrong = run(*common, "-O", "anchor=farthest")
    assert wrong.code == 1 and "choose one of" in wrong.err
    unknown = run(*common, "-O", "color=red")
    assert unknown.code == 1 and "has no option 'color'" in unknown.err
