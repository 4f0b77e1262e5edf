"""Training a synthesis for how pictures look: what learns, what stays, and resuming."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import Run, folder_of_pictures, picture, picture_set
from tqdm import tqdm

from vqcodec import training
from vqcodec.codec import Codec
from vqcodec.errors import SettingsError
from vqcodec.exact import model_file
from vqcodec.training.adversary import ADVERSARIAL_STAGE
from vqcodec.training.looks.export import export
from vqcodec.training.looks.loop import RECONSTRUCTION, Perceptual, PerceptualTrainer
from vqcodec.training.looks.settings import PerceptualSettings
from vqcodec.training.recipe import make_settings

CPU = torch.device("cpu")


def settings_of(model: Path, **changes: Any) -> PerceptualSettings:
    """Settings of a run of about a second."""
    values: dict[str, Any] = {
        "init": str(model),
        "losses": {"l1": 1.0, "structure": 0.5},
        "adversarial_from": 0.5,
        "matching": 0.1,
        "discriminator_width": 4,
        "steps": 4,
        "batch": 2,
        "crop": 64,
        "threads": 1,
    }
    return PerceptualSettings(**(values | changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three pictures."""
    return folder_of_pictures(tmp_path / "pictures", 3, 80, 90)


@pytest.mark.parametrize("prior", ["static", "context"])
def test_files_of_the_new_model_have_the_same_indices(
    prior: str, tiny_model: Path, context_model: Path, folder: Path, tmp_path: Path
) -> None:
    before, output = {"static": tiny_model, "context": context_model}[prior], tmp_path / "new.safetensors"
    assert training.run([folder], output, settings_of(before), resume=False)
    old, new = Codec.open(before), Codec.open(output)
    pixels = picture(70, 101, seed=3)
    for quality in (5.0, 60.0):
        first, second = old.encode(pixels, quality, 1), new.encode(pixels, quality, 1)
        assert np.array_equal(first.choice.indices, second.choice.indices)
        assert torch.equal(old.latents(first), new.latents(second))
        assert not np.array_equal(old.decode(first), new.decode(second))
    assert old.metadata.fingerprint != new.metadata.fingerprint
    assert new.metadata.training["init"] == old.metadata.fingerprint


def test_only_the_synthesis_changes(tiny_model: Path, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "new.safetensors"
    assert training.run([folder], output, settings_of(tiny_model, adversarial=0.0), resume=False)
    before, after = model_file.load(tiny_model)[1], model_file.load(output)[1]
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed and before.keys() == after.keys()
    assert all(name.startswith(("network.synthesis", "network.block_synthesis")) for name in changed)


@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_resumed_run_equals_an_uninterrupted_one(
    stop_after: int, tiny_model: Path, folder: Path, tmp_path: Path
) -> None:
    settings = settings_of(tiny_model)
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    assert training.run([folder], whole, settings, resume=False)
    assert not training.run([folder], parts, settings, resume=False, stop_after=stop_after)
    assert not parts.exists()
    assert training.run([folder], parts, settings, resume=True)
    first, second = (torch.load(training.checkpoint_path(path), weights_only=True) for path in (whole, parts))
    for name in ("network", "average", "discriminator"):
        assert all(torch.equal(first[name][key], second[name][key]) for key in first[name])
    assert model_file.read_metadata(whole).fingerprint == model_file.read_metadata(parts).fingerprint


def test_the_discriminator_waits_for_its_stage(tiny_model: Path, tmp_path: Path) -> None:
    state = Perceptual(settings_of(tiny_model, steps=20), CPU)
    trainer = PerceptualTrainer(state, picture_set(), tmp_path / "checkpoint")
    at_first = {name: value.clone() for name, value in state.adversary.discriminator.named_parameters()}

    def has_moved() -> bool:
        return any(
            not torch.equal(at_first[name], value) for name, value in state.adversary.discriminator.named_parameters()
        )

    seen = []
    with tqdm(disable=True) as bar:
        for _ in range(20):
            trainer.step(bar)
            seen.append((state.progress.stage, has_moved()))
    # It learns for a twentieth of the run before the synthesis listens to it.
    assert seen[8:11] == [(RECONSTRUCTION, False), (RECONSTRUCTION, True), (ADVERSARIAL_STAGE, True)]


def test_a_longer_run_that_goes_on_has_the_discriminator_learn_on(tiny_model: Path, tmp_path: Path) -> None:
    state = Perceptual(settings_of(tiny_model), CPU)
    assert PerceptualTrainer(state, picture_set(), tmp_path / "checkpoint").run()
    longer = Perceptual(settings_of(tiny_model, steps=100), CPU)
    longer.load_state_dict(state.state_dict())
    before = [value.clone() for value in longer.adversary.discriminator.parameters()]
    PerceptualTrainer(longer, picture_set(), tmp_path / "checkpoint").run(stop_after=5)
    assert not all(map(torch.equal, before, longer.adversary.discriminator.parameters()))


def first_step(model: Path, folder: Path, **changes: Any) -> Perceptual:
    """A run after its first step, in which the discriminator judges already."""
    state = Perceptual(settings_of(model, adversarial_from=0.0, **changes), CPU)
    PerceptualTrainer(state, picture_set(), folder / "checkpoint").run(stop_after=1)
    return state


def test_the_synthesis_listens_to_the_discriminator(tiny_model: Path, tmp_path: Path) -> None:
    last = "synthesis_out.bias"
    runs = [{"adversarial": 0.0}, {"matching": 0.0}, {"matching": 5.0}]
    learned = [first_step(tiny_model, tmp_path, learning_rate=0.1, **changes).learning[last] for changes in runs]
    assert not torch.equal(learned[0], learned[1])
    assert not torch.equal(learned[1], learned[2])


def test_what_is_written_are_the_averages(tiny_model: Path, tmp_path: Path) -> None:
    state = Perceptual(settings_of(tiny_model, average_decay=0.9, learning_rate=0.1), CPU)
    PerceptualTrainer(state, picture_set(), tmp_path / "checkpoint").run()
    metadata, arrays = export(state)
    name = "synthesis_out.weight"
    written = torch.from_numpy(arrays[model_file.NETWORK_PREFIX + name])
    assert torch.equal(written, state.average[name].half())
    assert not torch.equal(written, state.learning[name].detach().half())
    assert metadata.training["settings"]["init"] == "tiny"


def test_low_rates_are_drawn_more_often_the_higher_the_power(tiny_model: Path, tmp_path: Path) -> None:
    means = []
    for power in (1.0, 3.0):
        state = Perceptual(settings_of(tiny_model, low_rates=power, batch=64), CPU)
        trainer = PerceptualTrainer(state, picture_set(), tmp_path / "checkpoint")
        means.append(float(trainer.batch().quality.mean()))
    assert means == pytest.approx([50.5, 25.75], abs=12)


def test_latents_are_those_of_the_effort(tiny_model: Path) -> None:
    x = torch.from_numpy(picture(64, 64, seed=2)).permute(2, 0, 1)[None] / 255
    found = [Perceptual(settings_of(tiny_model, effort=e), CPU).latents(x, torch.tensor([30.0])) for e in (0, 1)]
    assert not torch.equal(*found)


def test_learning_lowers_the_loss(tiny_model: Path, tmp_path: Path) -> None:
    settings = settings_of(tiny_model, steps=60, adversarial=0.0, learning_rate=2e-3, low_rates=1.0)
    state = Perceptual(settings, CPU)
    with torch.no_grad():  # something to learn: pictures that are too bright
        state.network.get_parameter("synthesis_out.bias").add_(0.2)
    assert PerceptualTrainer(state, picture_set(), tmp_path / "checkpoint").run()
    first, *_, last = (entry["loss"] for entry in state.progress.log)
    assert last < 0.9 * first


def test_the_synthesis_learns_from_what_a_decoder_has(tiny_model: Path) -> None:
    state = Perceptual(settings_of(tiny_model), CPU)
    pixels = picture(64, 64, seed=2)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    latents = state.latents(x, torch.tensor([30.0]))
    unpacked = state.codec.unpack(model_parsed(state.codec, pixels))
    assert torch.equal(latents, state.codec.latents(unpacked))


def model_parsed(codec: Codec, pixels: Any) -> Any:
    """The parsed file that an encoder of effort 1 writes."""
    from vqcodec.exact.bitstream import container

    return container.read(codec.pack(codec.encode(pixels, 30.0, 1)))


def test_a_loss_without_its_weights_is_refused_before_pictures_are_read(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    settings = settings_of(tiny_model, losses={"features": 1.0})
    with pytest.raises(SettingsError, match=r"vqcodec\[features\]"):
        training.run([tmp_path / "nowhere"], tmp_path / "new.safetensors", settings, resume=False)


def test_resuming_from_another_model_is_refused(tiny_model: Path, context_model: Path) -> None:
    state = Perceptual(settings_of(tiny_model), CPU).state_dict()
    with pytest.raises(SettingsError, match="started from the model"):
        Perceptual(settings_of(context_model), CPU).load_state_dict(state)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objective": "beauty"}, "objective 'beauty' is unknown"),
        ({"losses": {}}, "needs losses"),
        ({"adversarial_from": 1.5}, "adversarial_from=1.5 is outside"),
        ({"steps": 0}, "needs steps or a time"),
        ({"K": 16}, "kind 'looks' has no setting K"),
        ({"crop": 32}, "crop=32 is outside"),
        ({"init": "photo", "resume": 1}, "has no setting resume"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        make_settings(None, {"kind": "looks"} | changes)


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("losses = { beauty = 1.0 }", "no loss 'beauty'"),
        ("losses = { l1 = -1.0 }", "weight of the loss l1"),
        ('losses = { l1 = "much" }', "losses.l1 must be a number, not 'much'"),
        ("losses = { l1 = true }", "losses.l1 must be a number, not True"),
        ("crop = 100", "crop=100 is no multiple of the stride 16"),
        ('init = "nothing"', "there is no model 'nothing'"),
    ],
)
def test_bad_recipes_are_one_sentence(recipe: str, said: str, folder: Path, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(f'kind = "looks"\nsteps = 2\n{recipe}\n')
    result = run("train", folder, "--recipe", path, "-o", tmp_path / "new.safetensors")
    assert result.code == 1 and said in result.err
    assert not (tmp_path / "new.safetensors").exists()
