"""VQGAN trained as a VQGAN: absolute error, other losses and a discriminator, in stages that resume."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from dataset_forms import made, write_xz
from tiny import folder_of_pictures, picture, picture_set
from torch import Tensor
from tqdm import tqdm

from vqcodec import training
from vqcodec.codec import Codec
from vqcodec.errors import SettingsError
from vqcodec.exact import model_file
from vqcodec.image import Picture
from vqcodec.reproduction.paper_tables import AS_VQGAN
from vqcodec.reproduction.runs import Run, choose
from vqcodec.reproduction.workbench import Workbench
from vqcodec.training.papers.loop import Autoencoder, AutoencoderTrainer
from vqcodec.training.papers.settings import AutoencoderSettings
from vqcodec.training.recipe import make_settings

CPU = torch.device("cpu")
RECIPES = Path(__file__).parent.parent / "train" / "recipes"
TINY: dict[str, Any] = {
    "network": "vqgan", "width": 4, "d": 8, "quantizer": "vq", "K": 8, "mse_weight": 0.0, "losses": {"l1": 2.0},
    "adversarial": 0.8, "adversarial_from": 0.5, "discriminator_width": 4, "adam_beta1": 0.5,
    "steps": 4, "batch": 2, "crop": 32, "threads": 1, "table_bits": 12,
}  # fmt: skip


def settings_of(**changes: Any) -> AutoencoderSettings:
    """Settings of a run of about a second."""
    made = make_settings(None, TINY | changes)
    assert isinstance(made, AutoencoderSettings)
    return made


def trainer_of(tmp_path: Path, **changes: Any) -> AutoencoderTrainer:
    """A run on synthetic pictures that has not begun."""
    x = torch.stack([picture[:, :32, :32] for picture in picture_set(2).pictures]).float() / 255
    return AutoencoderTrainer(Autoencoder(settings_of(**changes), CPU), lambda _: x, 0.07, tmp_path / "checkpoint")


@pytest.fixture(autouse=True)
def few_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are counted on a few crops, which is most of such a run otherwise."""
    monkeypatch.setattr(training, "_FIT_CROPS", 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three pictures."""
    return folder_of_pictures(tmp_path / "pictures", 3, 40, 48)


STAGED = {"network_share": 0.25, "schedule": "cosine"}
LEADING = {"steps": 20}
"""With which the discriminator has learned a step of its lead, and is not judged by yet, after ten steps."""


@pytest.mark.parametrize(
    ("changes", "stop_after"),
    [*((changes, step) for changes in ({}, STAGED, {"adversarial_from": 0.0}) for step in (1, 3)), (LEADING, 10)],
)
def test_a_resumed_run_equals_an_uninterrupted_one_and_compresses(
    changes: dict[str, Any], stop_after: int, folder: Path, tmp_path: Path
) -> None:
    settings = settings_of(**changes)
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    assert training.run([folder], whole, settings, resume=False)
    assert not training.run([folder], parts, settings, resume=False, stop_after=stop_after)
    assert training.run([folder], parts, settings, resume=True)
    first, second = (torch.load(training.checkpoint_path(path), weights_only=True) for path in (whole, parts))
    for name in ("network", "quantizer", "discriminator"):
        assert all(torch.equal(first[name][key], second[name][key]) for key in first[name])
    assert model_file.read_metadata(whole).fingerprint == model_file.read_metadata(parts).fingerprint
    codec, pixels = Codec.open(whole), picture(30, 45, seed=9)
    assert codec.decompress(codec.compress(Picture(pixels))).pixels.shape == pixels.shape


def test_the_discriminator_waits_for_its_stage_and_leads_a_little(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, network_share=0.2, **LEADING)
    trainer.log_steps = 1
    assert trainer.state.adversary is not None
    before = [value.clone() for value in trainer.state.adversary.discriminator.parameters()]
    trainer.start()
    seen = []
    with tqdm(disable=True) as bar:
        for _ in range(11):
            trainer.step(bar)
            has_moved = not all(map(torch.equal, before, trainer.state.adversary.discriminator.parameters()))
            seen.append((trainer.state.progress.stage, has_moved))
    assert seen[3:5] == [("network", False), ("begun", False)]
    assert seen[8:11] == [("begun", False), ("begun", True), ("adversarial", True)]
    leads, judges = {"discriminator", "right"}, {"hinge", "weight"}
    logged = [entry.keys() & (leads | judges) for entry in trainer.state.progress.log[8:11]]
    assert logged == [set(), leads, leads | judges]
    assert 0 <= trainer.state.progress.log[-1]["right"] <= 1 and trainer.state.progress.log[-1]["weight"] > 0


def gradients(trainer: AutoencoderTrainer, loss: Tensor) -> list[Tensor | None]:
    """The gradients of a loss in all that learns."""
    learning = [p for group in trainer.state.optimizer.param_groups for p in group["params"]]
    return list(torch.autograd.grad(loss, learning, allow_unused=True, retain_graph=True))


def test_a_step_descends_along_the_loss_of_vqgan(tmp_path: Path) -> None:
    """As in equations 4 to 7: losses, the quantizer's, and the hinge by the ratio of gradients in the last layer."""
    trainer = trainer_of(tmp_path, adversarial_from=0.0, mse_weight=0.3, quantizer_weight=0.7)
    trainer.start()
    trainer._enter(0.0)
    batch, state = trainer.batch(), trainer.state
    assert state.adversary is not None and trainer.stage.name == "adversarial"
    found, _ = trainer.shown(batch)
    quantized = state.quantizer(state.analyze(batch.x))
    y = state.network.synthesis(quantized.z_q, batch.quality)
    error = 0.3 * 4 * F.mse_loss(y, batch.x) / 0.07 + 2.0 * (y - batch.x).abs().mean()
    hinge = -state.adversary.discriminator(y).logits.mean()
    last = state.network.get_parameter(state.network.last_layer)
    own, its = (torch.autograd.grad(each, last, retain_graph=True)[0] for each in (error, hinge))
    weight = 0.8 * own.norm() / (its.norm() + 1e-4)
    wanted = error + 0.7 * quantized.loss + weight.detach() * hinge
    for one, other in zip(gradients(trainer, found.total), gradients(trainer, wanted), strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
    assert found.value == pytest.approx((error + 0.7 * quantized.loss).item(), rel=1e-5)
    assert found.figures["weight"] == pytest.approx(weight.item(), rel=1e-4)
    assert found.figures["hinge"] == pytest.approx(hinge.item(), rel=1e-4)


def test_without_its_weight_squared_error_is_noted_and_not_learned_from(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, adversarial=0.0, quantizer_weight=0.0)
    loss, y = trainer.shown(trainer.batch())
    absolute = 2.0 * (y - trainer.batch().x).abs().mean()
    for found, wanted in zip(gradients(trainer, loss.total), gradients(trainer, absolute), strict=True):
        zeros = torch.zeros(()) if found is None else torch.zeros_like(found)
        assert torch.equal(zeros if found is None else found, zeros if wanted is None else wanted)
    assert trainer.state.adversary is None and list(trainer.stages) == ["begun"]
    assert loss.value == pytest.approx(absolute.item(), rel=1e-5)
    assert loss.figures["mse"] > 0


def test_a_run_without_a_discriminator_is_what_it_was(tmp_path: Path) -> None:
    with_one, without = (trainer_of(tmp_path, adversarial=weight).state for weight in (0.8, 0.0))
    assert all(map(torch.equal, with_one.network.parameters(), without.network.parameters()))
    assert with_one.optimizer.param_groups[0]["betas"] == (0.5, 0.999)
    assert set(with_one.state_dict()) - set(without.state_dict()) == {"discriminator", "discriminator_optimizer"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"losses": {}}, "mse_weight is 0 and there are no losses; give one of them"),
        ({"network_share": 0.6}, "adversarial_from=0.5 lies in the first 0.6 of the run"),
        ({"quantizer": "sq"}, "'sq' has a loss of another kind; leave adversarial, losses, mse_weight out"),
        ({"adversarial": -1.0}, "adversarial=-1.0 is outside"),
        ({"adam_beta1": 1.0}, "adam_beta1=1.0 is outside"),
        ({"mse_weight": -1.0}, "mse_weight=-1.0 is outside"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        settings_of(**changes)


def on_mnist(folder: Path, **changes: Any) -> Run:
    """A run on a few pictures of MNIST's form, which are written into a folder."""
    for split, count in (("train", 6), ("test", 2)):
        write_xz(folder, *made("mnist", split, count), split)
    small: dict[str, Any] = {"K": 8, "m": 4, "d": 16, "channels": 1, "batch": 3, "table_bits": 10, "threads": 1}
    return Run("mnist", AutoencoderSettings(**small | changes))


@pytest.mark.parametrize(
    "stages", [{"network_share": 0.5}, {"adversarial": 0.5, "adversarial_from": 0.5, "discriminator_width": 4}]
)
def test_a_run_of_stages_that_is_to_be_longer_starts_anew(stages: dict[str, Any], tmp_path: Path) -> None:
    run, found = on_mnist(tmp_path, **stages), {}
    for name, budgets in (("once", (1.0,)), ("twice", (0.5, 1.0))):
        for budget in budgets:
            values = Workbench(tmp_path, tmp_path / name, budget).bring(run, 2)
            assert values is not None and values["epochs"] == 2 * budget
            found[name] = values["fingerprint"]
    assert found["once"] == found["twice"]


@pytest.mark.parametrize(
    ("package", "changes"),
    [
        ("efficientnet_lite_pytorch", {"losses": {"features": 1.0}}),
        ("vector_quantize_pytorch", {"quantizer": "simvq", "m": 1}),
    ],
)
def test_a_package_that_a_row_lacks_is_known_before_any_training(
    package: str, changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [(on_mnist(tmp_path), 2), (on_mnist(tmp_path, **changes), 2)]
    bench = Workbench(tmp_path, tmp_path / "work", 1.0)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SettingsError, match=r"pip install 'vqcodec\[.*\]'.*; or leave such rows out with --rows"):
        bench.load(runs)
    bench.load(runs[:1])


def test_of_rows_that_differ_in_their_options_each_is_seen_before_any_training(tmp_path: Path) -> None:
    words = [tmp_path / "words" / f"{name}.npy" for name in ("missing", "here")]
    words[0].parent.mkdir()
    np.save(words[1], np.random.default_rng(0).normal(size=(8, 5)))
    runs = [(on_mnist(tmp_path, quantizer="vqct", m=1, options={"table": str(path)}), 1) for path in words]
    bench = Workbench(tmp_path, tmp_path / "work", 1.0)
    with pytest.raises(SettingsError, match=r"missing\.npy cannot be read: .*; or leave such rows out with --rows"):
        bench.load(runs)
    bench.load(runs[1:])
    values = bench.bring(*runs[1])
    assert values is not None and values["settings"]["options"] == {"table": "here.npy"}, "the folder tells nobody"


def test_the_recipe_is_a_vqgan_and_its_network_that_of_quick_rows_on_photographs() -> None:
    settings = make_settings(RECIPES / "vqgan.toml", {})
    assert isinstance(settings, AutoencoderSettings)
    assert (settings.network, settings.mse_weight, set(settings.losses)) == ("vqgan", 0.0, {"l1", "features"})
    assert AS_VQGAN.items() <= settings.as_dict().items() and settings.seconds >= 6 * 3600
    rows = [entry.run for entry in choose(["dual-2"], ["photos"], "^VQ .*quick$") if entry.run]
    assert rows and all(run.settings.network_settings() == settings.network_settings() for run in rows)


def test_the_recipe_trains(features: None, folder: Path, tmp_path: Path) -> None:
    small = {"width": 4, "d": 8, "K": 8, "batch": 2, "crop": 64, "steps": 4, "validation_pictures": 0}
    settings = make_settings(RECIPES / "vqgan.toml", small)
    output = tmp_path / "vqgan.safetensors"
    assert training.run([folder], output, settings, resume=False)
    facts = model_file.read_metadata(output).training
    assert facts["settings"]["losses"].keys() == {"l1", "features"} and facts["steps"] == 4
