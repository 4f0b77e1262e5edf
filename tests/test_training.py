"""The trainer: a resumed run equals an uninterrupted one, and what is wrong is said before it starts."""

from __future__ import annotations

import signal
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import TINY_CONTEXT, folder_of_pictures, picture, picture_set, tiny_settings
from torch import Tensor

from vqcodec import training
from vqcodec.codec import Codec
from vqcodec.errors import InputError, SettingsError
from vqcodec.exact import model_file
from vqcodec.image import Picture
from vqcodec.networks.photo import PhotoNetwork
from vqcodec.training.photo.basis import block_basis
from vqcodec.training.photo.loop import Trainer
from vqcodec.training.photo.state import NOISE, TrainingState
from vqcodec.training.pictures.picture_set import load_pictures
from vqcodec.training.rate.density import ClassDensity, bits
from vqcodec.training.recipe import make_settings
from vqcodec.training.stage import Batch, Loss


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with five pictures, one of them inside a tar, and a file that is no picture."""
    pictures = folder_of_pictures(tmp_path / "pictures", 4, 80, 90)
    with tarfile.open(pictures / "more.tar", "w") as archive:
        archive.add(pictures / "0.png", "again.png")
    return pictures


@pytest.mark.parametrize("stop_after", [3, 5, 7])
@pytest.mark.parametrize(
    "changes",
    [{}, TINY_CONTEXT, {"losses": {"l1": 1.0}, "refine_steps": 0}, {"optimizer": "soap", "steps": 14}],
    ids=["static", "context", "losses", "soap"],
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    folder: Path, tmp_path: Path, stop_after: int, changes: dict[str, Any]
) -> None:
    if "optimizer" in changes:
        pytest.importorskip("pytorch_optimizer")
    settings = tiny_settings(**changes)
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    assert training.run([folder], whole, settings, resume=False)
    assert not training.run([folder], parts, settings, resume=False, stop_after=stop_after)
    assert not parts.exists()
    assert training.run([folder], parts, settings, resume=True)
    first, second = model_file.load(whole), model_file.load(parts)
    assert first[0].fingerprint == second[0].fingerprint
    assert all(np.array_equal(first[1][name], second[1][name]) for name in first[1])


@pytest.mark.parametrize(
    "changes",
    [
        {"quantizer": "vq", "K": 16},
        {"beta": 2, "mode": "all"},
        {"beta": 2, "mode": "conditional"},
        {"beta": 2, "mode": "smooth"},
        {"m": 6, "depth": 1, "wide": 0, "classes": 1, "table_rows": 1},
        {"bf16": True},
        {"m": 2, "K": 8},
        TINY_CONTEXT,
    ],
    ids=str,
)
def test_every_kind_of_quantizer_trains_into_a_model_that_compresses(
    folder: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    output = tmp_path / "model.safetensors"
    base: dict[str, object] = {"m": 1, "depth": 1, "wide": 0} if changes.get("quantizer") == "vq" else {}
    if changes.get("m") == 2:
        base = {"wide": 1}
    assert training.run([folder], output, tiny_settings(**(base | changes)), resume=False)
    codec = Codec.open(output)
    pixels = picture(50, 60, seed=8)
    encoded = codec.encode(pixels, 50)
    data = codec.compress(Picture(pixels), 50)
    assert codec.decompress(data).pixels.shape == pixels.shape
    predicted = sum(codec.prior.bits(encoded.choice.indices, encoded.choice.classes, 50)) / 8
    assert len(data) <= 1.01 * predicted + 48


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    pictures, settings = picture_set(), tiny_settings(learning_rate=1e-3)
    state = TrainingState(settings, torch.device("cpu"))
    numbers, noise = state.random()
    state.network.set_basis(*block_basis(pictures, numbers, 64))
    x = pictures.crops(numbers, 8, 64)
    quality = torch.full((8,), 50.0)
    with torch.no_grad():
        natural = state.network.analysis(x, quality) / state.network.gain(quality)
    state.density.fit(natural.movedim(1, -1).reshape(-1, settings.d), state.network.sigma)
    assert state.progress.stage == NOISE
    trainer, seen = Trainer(state, pictures, pictures, tmp_path / "none"), []
    for _ in range(25):
        loss, _ = trainer.shown(Batch(x, quality, noise))
        state.optimizer.zero_grad()
        loss.total.backward()  # type: ignore[no-untyped-call]
        state.optimizer.step()
        seen.append(loss.figures["loss"])
    assert np.mean(seen[-5:]) < 0.97 * seen[0]


def test_the_last_stage_shows_plain_latents_at_every_fourth_step(tmp_path: Path) -> None:
    settings = tiny_settings(**TINY_CONTEXT)
    state = TrainingState(settings, torch.device("cpu"))
    pictures = picture_set()
    trainer = Trainer(state, pictures, pictures, tmp_path / "none")
    assert trainer.run()
    batch = trainer.batch()
    state.progress.step = 0
    searched = trainer.stage.path(batch)
    state.progress.step = 3
    plain = trainer.stage.path(batch)
    expected = state.rate.sent(batch.x, batch.quality, lambda x, z, quality, quantize: z)
    assert torch.equal(plain.z_q, expected.z_q)
    assert not torch.equal(searched.z_q, expected.z_q)


def test_unknown_and_missing_optimizers_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="optimizer 'sgd' is unknown; choose adam or soap"):
        tiny_settings(optimizer="sgd")
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(SettingsError, match=r"pip install 'vqcodec\[soap\]'"):
        TrainingState(tiny_settings(optimizer="soap"), torch.device("cpu"))


def test_the_network_starts_as_an_orthonormal_block_transform() -> None:
    pictures = picture_set()
    basis, sigma = block_basis(pictures, np.random.default_rng(0), 64)
    assert torch.allclose(basis @ basis.T, torch.eye(768), atol=1e-4)
    assert bool((sigma[:-1] >= sigma[1:]).all())
    network = PhotoNetwork(d=768, widths=(8, 8, 8, 8)).eval()
    network.set_basis(basis, sigma)
    x, quality = pictures.crops(np.random.default_rng(1), 1, 64), torch.tensor([60.0])
    assert torch.allclose(network.synthesis(network.analysis(x, quality), quality), x, atol=1e-3)


def test_density_gives_probabilities() -> None:
    """The bits of all cells of a channel describe a distribution that sums to one."""
    density = ClassDensity(3, 2)
    density.fit(torch.randn(400, 3, generator=torch.Generator().manual_seed(0)) * 5, torch.full((3,), 5.0))
    gain = torch.full((1, 3, 1, 1), 0.7)
    z = torch.arange(-60, 61).float().reshape(1, 1, 1, -1).expand(1, 3, 1, -1)
    cells = density.cells(torch.ones(1, 1, z.shape[3], dtype=torch.int64), gain)
    assert torch.allclose((2 ** -bits(z, cells)).sum(3), torch.ones(1, 3, 1), atol=1e-3)


def test_unreadable_files_are_skipped_and_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.png").write_bytes(b"no picture")
    assert len(load_pictures([folder], torch.device("cpu"))) == 4  # the one in the tar is there twice
    assert "skipped 1" in capsys.readouterr().err


def test_held_out_pictures_are_not_trained_on() -> None:
    training_set, validation = picture_set(10).split(4)
    assert len(training_set) == 8 and len(validation) == 2
    assert not {id(p) for p in training_set.pictures} & {id(p) for p in validation.pictures}
    assert [len(part) for part in picture_set(2).split(8)] == [1, 1]


def test_sources_without_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pictures"):
        load_pictures([tmp_path], torch.device("cpu"))
    with pytest.raises(InputError, match="does not exist"):
        load_pictures([tmp_path / "nowhere"], torch.device("cpu"))


def test_recipes_build_on_each_other_and_refuse_unknown_keys(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text("K = 64\nm = 80\n")
    (tmp_path / "mine.toml").write_text('base = "base.toml"\nm = 40\n')
    settings = make_settings(tmp_path / "mine.toml", {"seed": 5, "steps": None})
    assert (settings.K, settings.m, settings.seed) == (64, 40, 5)
    for text, match in (
        ("Q = 3", "unknown key 'Q'"),
        ('K = "many"', "K must be a int"),
        ("K = [", "not valid TOML"),
        ("K = " + "[" * 200_000, "not valid TOML"),
        ("m = 7", "m=7"),
        ("crop = 100", "multiple of 16"),
        ("steps = 0", "--steps"),
        ("classes = 300", "classes=300"),
        ("table_bits = 8", "too few for K=256"),
        ("K = 16384", "too many tables"),
        ("d = 1000\nm = 10", "d=1000"),
        ("warmup_steps = 0", "warmup_steps=0"),
        ("quantised_share = 0.7\nsynthesis_share = 0.7", "above 1"),
        ('base = "bad.toml"', "lead back"),
        ("base = 3", "name another recipe"),
    ):
        (tmp_path / "bad.toml").write_text(text)
        with pytest.raises(SettingsError, match=match):
            make_settings(tmp_path / "bad.toml", {})
    (tmp_path / "time.toml").write_text("seconds = 60.0")
    assert make_settings(tmp_path / "time.toml", {}).steps == 0
    with pytest.raises(SettingsError, match="cannot be read"):
        make_settings(tmp_path / "none.toml", {})


def test_resuming_needs_a_checkpoint_of_the_same_settings(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.safetensors"
    with pytest.raises(InputError, match="no checkpoint"):
        training.run([folder], output, tiny_settings(), resume=True)
    assert not training.run([folder], output, tiny_settings(), resume=False, stop_after=1)
    with pytest.raises(SettingsError, match="K=32"):
        training.run([folder], output, tiny_settings(K=16), resume=True)
    training.checkpoint_path(output).write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="not a readable checkpoint"):
        training.run([folder], output, tiny_settings(), resume=True)
    torch.save({"step": 3}, training.checkpoint_path(output))
    with pytest.raises(InputError, match="not a checkpoint of vqc"):
        training.run([folder], output, tiny_settings(), resume=True)


def test_a_checkpoint_from_before_a_setting_was_there_goes_on(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.safetensors"
    assert not training.run([folder], output, tiny_settings(), resume=False, stop_after=1)
    path = training.checkpoint_path(output)
    values = torch.load(path, weights_only=True)
    del values["settings"]["tilt"], values["settings"]["refine_steps"]
    torch.save(values, path)
    assert training.run([folder], output, tiny_settings(), resume=True)


def test_resuming_takes_over_the_settings_and_options_win(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.safetensors"
    assert not training.run([folder], output, tiny_settings(steps=6), resume=False, stop_after=2)
    resumed = training.resumed_settings(output)
    assert make_settings(None, {"steps": None, "K": None}, resumed) == tiny_settings(steps=6)
    assert make_settings(None, {"steps": 9}, resumed) == tiny_settings(steps=9)


@pytest.mark.parametrize("at_step", [2, 4])
def test_ctrl_c_in_the_middle_of_a_step_loses_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_step: int
) -> None:
    settings = tiny_settings(options={"online_clustering": "on"})
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    assert training.run([folder], whole, settings, resume=False)
    shown = Trainer.shown

    def interrupted(trainer: Trainer, batch: Batch) -> tuple[Loss, Tensor]:
        if trainer.state.progress.step == at_step:
            signal.raise_signal(signal.SIGINT)
        return shown(trainer, batch)

    monkeypatch.setattr(Trainer, "shown", interrupted)
    assert not training.run([folder], parts, settings, resume=False)
    monkeypatch.setattr(Trainer, "shown", shown)
    assert training.run([folder], parts, settings, resume=True)
    assert model_file.load(whole)[0].fingerprint == model_file.load(parts)[0].fingerprint


def test_damaged_shards_are_named(folder: Path) -> None:
    (folder / "folder.tar").mkdir()
    (folder / "broken.tar").write_bytes(b"no archive")
    with pytest.raises(InputError, match="broken.tar"):
        load_pictures([folder], torch.device("cpu"))


def test_shipped_recipes_are_valid() -> None:
    recipes = sorted((Path(__file__).parents[1] / "train" / "recipes").glob("*.toml"))
    assert recipes
    for recipe in recipes:
        make_settings(recipe, {})
