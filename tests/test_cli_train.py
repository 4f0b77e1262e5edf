"""vqc train: what its options change, and that an interrupted run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import Run

from vqcodec import training
from vqcodec.cli.console import EXIT_INTERRUPTED
from vqcodec.errors import SettingsError
from vqcodec.exact import model_file
from vqcodec.training.looks.settings import PerceptualSettings
from vqcodec.training.papers.settings import AutoencoderSettings
from vqcodec.training.photo.settings import TrainingSettings
from vqcodec.training.recipe import make_settings

SMALL: dict[str, Any] = {"network": "vqvae", "quantizer": "vq", "K": 16, "d": 8, "batch": 2, "crop": 32, "threads": 1}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--network", "vqgan"], {"network": "vqgan", "quantizer": "looc"}),
        (["--network", "photo"], {"network": "photo", "prior": "static"}),
        (["--prior", "context"], {"network": "photo", "prior": "context", "wide": 64}),
        (["--network", "vqvae", "--beta", 2], {"beta": 2, "mode": "all"}),
        (["--network", "vqvae", "--beta", 4, "--beta-mode", "smooth"], {"beta": 4, "mode": "smooth"}),
        (["--network", "vqvae", "--beta", 2, "--beta-mode", "conditional"], {"beta": 2, "mode": "conditional"}),
    ],
)
def test_options_are_settings(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[Any], expected: dict[str, Any]
) -> None:
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(training, "run", lambda _, __, settings, resume, pattern, log: seen.append(settings.as_dict()))
    assert run("train", tmp_path, "-o", tmp_path / "model.safetensors", *options).code == EXIT_INTERRUPTED
    assert {key: seen[0][key] for key in expected} == expected
    assert seen[0]["name"] == "model"


def test_resume_goes_on_with_the_settings_of_the_run(run: Run, photo: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.safetensors"
    assert "there is no checkpoint" in run("train", photo, "--resume", "-o", output).err
    assert not training.run([photo], output, make_settings(None, SMALL | {"steps": 4}), resume=False, stop_after=2)
    assert "go on with it by --resume, or start anew with -f" in run("train", photo, "-o", output).err
    assert "with other settings (K=16)" in run("train", photo, "--resume", "-K", 32, "-o", output).err
    assert not output.exists()
    assert run("train", photo, "--resume", "--steps", 5, "-o", output).code == 0
    metadata = model_file.read_metadata(output)
    assert (metadata.training["steps"], metadata.quantizer["K"]) == (5, 16)


def test_a_recipe_may_name_the_schedule(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('quantizer = "cvq"\nschedule = "cosine"\n')
    assert make_settings(recipe, {}).as_dict()["schedule"] == "cosine"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"kind": "photo"}, TrainingSettings),
        ({"kind": "looks"}, PerceptualSettings),
        ({"kind": "papers", "quantizer": "vq"}, AutoencoderSettings),
        ({"quantizer": "vq"}, TrainingSettings),
        ({"quantizer": "pq"}, AutoencoderSettings),
        ({"network": "vqgan"}, AutoencoderSettings),
        ({"objective": "perceptual"}, PerceptualSettings),
    ],
)
def test_a_recipe_says_its_kind_or_leaves_it_to_network_and_quantizer(
    values: dict[str, str], kind: type, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("".join(f'{key} = "{value}"\n' for key, value in values.items()))
    assert type(make_settings(recipe, {})) is kind


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('kind = "films"\n')
    with pytest.raises(SettingsError, match="kind 'films' is unknown; choose one of photo, looks, papers"):
        make_settings(recipe, {})


def test_an_address_without_a_host_is_refused(run: Run, tmp_path: Path) -> None:
    done = run("train", "hdfs:///photos", "-o", tmp_path / "model.safetensors")
    assert (
        done.code == 1
        and done.err == "vqc: hdfs:///photos names no host; write it with one, as in hdfs://host/folder\n"
    )


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"RANK": "1"}, "none.tar does not exist"),
        ({"RANK": "x"}, "none.tar does not exist"),
        ({"RANK": "x", "WORLD_SIZE": "2"}, "RANK is 'x' in the environment"),
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE is 'many' in the environment"),
    ],
)
def test_what_a_launcher_would_have_set(
    environment: dict[str, str], said: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = run("train", tmp_path / "none.tar", "-o", tmp_path / "model.safetensors")
    assert done.code == 1 and said in done.err and done.err.count("\n") == 1
