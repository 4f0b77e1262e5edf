"""vqc train without a recipe: settings for every quantizer, options, and what is said at the end and on the way."""

from __future__ import annotations

import math
import re
import tarfile
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from test_autoencoder import require_package, settings_of
from tiny import Run, picture, tiny_settings

from vqcodec import quantizers, training
from vqcodec.errors import InputError
from vqcodec.exact import model_file
from vqcodec.networks import NETWORKS
from vqcodec.quantizers import Fixed, method, names
from vqcodec.training.first import first_values
from vqcodec.training.follower import scalars
from vqcodec.training.held_out import Figures
from vqcodec.training.length import cut_note
from vqcodec.training.papers.loop import Autoencoder, AutoencoderTrainer
from vqcodec.training.papers.settings import AutoencoderSettings
from vqcodec.training.photo.source import in_proportion
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.pictures.picture_set import load_pictures
from vqcodec.training.recipe import make_settings

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of six pictures, two of which lie in an archive."""
    made = tmp_path / "pictures"
    made.mkdir()
    for i in range(6):
        Image.fromarray(picture(72, 80, seed=i)).save(made / f"{'cat' if i % 2 else 'dog'}{i}.png")
    with tarfile.open(made / "more.tar", "w") as archive:
        for path in (made / "cat5.png", made / "dog4.png"):
            archive.add(path, f"inside/{path.name}")
            path.unlink()
    return made


@pytest.mark.parametrize("network", [None, "vqvae", "vqgan"])
@pytest.mark.parametrize("name", names())
def test_every_quantizer_stores_about_one_bit_for_a_pixel(name: str, network: str | None) -> None:
    settings = make_settings(None, first_values({"quantizer": name, "network": network, "seconds": 60.0}))
    assert settings.network == (network or ("photo" if name == "looc" else "vqvae"))
    if isinstance(settings, AutoencoderSettings):
        quantizer = settings.quantizer_settings()
        bpp = quantizer.planes * math.log2(quantizer.K) / NETWORKS[settings.network].stride ** 2
        assert bpp <= 1.1
        # With one index for 4 x 4 pixels it is what K says; what has several takes them.
        assert bpp >= 0.6 or settings.network == "vqgan"
        assert settings.standardised and settings.network_share


def test_what_is_said_wins() -> None:
    said = {"quantizer": "cvq", "K": 64, "batch": 2, "options": {"anchor": "random"}, "steps": 5, "prior": None}
    settings = make_settings(None, first_values(said))
    assert isinstance(settings, AutoencoderSettings)
    assert (settings.K, settings.batch, settings.steps) == (64, 2, 5)
    assert settings.options == {"learn": "ema", "anchor": "random"}
    started = first_values({"quantizer": "cvq", "init": "other.safetensors"})
    assert not started["standardised"] and not started["network_share"]
    assert first_values({"quantizer": "vq", "prior": "context"})["network"] == "photo"
    assert first_values({"quantizer": "looc", "network": "vqvae", "beta": 2})["m"] == 1


@pytest.mark.parametrize("name", names())
def test_what_is_advised_against_a_collapse_are_options_of_the_method(name: str) -> None:
    remedy, options = method(name).remedy, method(name).options
    known = [field.name for field in fields(options)] if options else []
    assert set(re.findall(r"-O (\w+)", remedy)) <= set(known)
    assert remedy[0] not in " ,;" and not remedy.endswith(".")


@pytest.mark.parametrize("name", ["vq", "pq", "looc", "rq", "gumbel", "sq", "simvq", "rotation"])
def test_codevectors_begin_in_the_middle_of_latents(name: str) -> None:
    require_package(name)
    many = {"m": 2} if name in ("pq", "looc") else {"depth": 2} if name == "rq" else {}
    settings = settings_of(name, **({"K": 16, "d": 16, "m": 1, "options": {}} | many))
    quantizer = quantizers.build(settings.quantizer_settings(), settings.options).eval()
    z = torch.randn(2, 16, 16, 16, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.1, 2, 16) + 3
    generator, errors = torch.Generator().manual_seed(1), []
    for change in (lambda: None, lambda: quantizer.begin(z, generator), lambda: quantizer.cluster(z)):
        change()
        errors.append(float((quantizer.decode(quantizer.encode(z)).detach() - z).square().mean()))
    assert errors[2] < 0.95 * errors[1] or errors[2] < 0.95 * errors[0] == errors[1]
    assert errors[2] < z.var()
    assert torch.equal(Fixed(quantizer.settings, quantizer.codevectors().detach()).encode(z), quantizer.encode(z))


def test_the_network_learns_alone_first_and_a_resumed_run_is_the_same(tmp_path: Path) -> None:
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    models = []
    for stops in ((None,), (1, 2, None)):
        checkpoint = tmp_path / f"{len(stops)}.checkpoint"
        for stop in stops:
            state = Autoencoder(settings_of("vq", network_share=0.5, steps=4), CPU)
            if checkpoint.exists():
                state.load_state_dict(torch.load(checkpoint))
            before = state.quantizer.codevectors().detach().clone()
            AutoencoderTrainer(state, lambda _: x, 1.0, checkpoint).run(stop)
            if stop is not None:
                assert torch.equal(state.quantizer.codevectors(), before)
        assert state.progress.taken == {"network": 2, "begun": 2}
        models.append(state.network.state_dict())
    assert all(torch.equal(value, models[1][key]) for key, value in models[0].items())


def test_only_pictures_with_such_names_are_read(folder: Path) -> None:
    assert [len(load_pictures([folder], CPU, pattern)) for pattern in (None, "cat*", "*[34].png")] == [6, 3, 2]
    with pytest.raises(InputError, match=r"no pictures whose names fit 'cow\*' were found"):
        load_pictures([folder], CPU, "cow*")


def test_the_last_line_has_figures_of_pictures_held_out(run: Run, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.safetensors"
    common = (
        "--quantizer",
        "pq",
        "-K",
        16,
        "--batch",
        2,
        "--crop",
        32,
        "--seed",
        3,
        "--threads",
        1,
        "-f",
        "-o",
        output,
    )
    done = run("train", folder, "--match", "*[0-3].png", "--steps", 4, *common)
    assert done.code == 0, done.err
    pattern = rb"^[\d.]+ dB at [\d.]+ bpp in the files of %d pictures? %s(; below 24 dB: .+)?$"
    assert re.match(pattern % (1, b"held out"), done.out.splitlines()[-1])
    settings = model_file.read_metadata(output).training["settings"]
    assert (settings["batch"], settings["crop"], settings["seed"]) == (2, 32, 3)
    alone = run("train", folder / "cat1.png", "--steps", 2, *common)
    assert re.match(pattern % (1, b"that it was trained on, since none was held out"), alone.out.splitlines()[-1])


def test_a_time_counts_all_work_and_says_which_stages_were_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = iter(range(10**6))
    monkeypatch.setattr("vqcodec.training.trainer.time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    state = Autoencoder(settings_of("vq", network_share=0.5, steps=0, seconds=100.0), CPU)

    def slow(_: AutoencoderTrainer) -> None:
        for _ in range(40):
            next(seconds)

    monkeypatch.setattr(AutoencoderTrainer, "_begin_codebook", slow)
    trainer = AutoencoderTrainer(state, lambda _: torch.rand(2, 3, 32, 32), 1.0, tmp_path / "checkpoint")
    trainer.work_after = 2.0
    assert trainer.run()
    assert 95 <= state.progress.seconds <= 102, "the slow beginning counts, and a little is left for what follows"
    assert re.search(r"too short for all stages: begun \d instead of \d+ steps; a longer", capsys.readouterr().err)


def test_stages_with_their_share_are_not_spoken_of() -> None:
    stages: list[Any] = AutoencoderTrainer(
        Autoencoder(settings_of("vq", network_share=0.5), CPU), lambda _: torch.rand(1, 3, 32, 32), 1.0, Path("none")
    ).stages.values()
    assert cut_note(list(stages), {"network": 60, "begun": 40}) is None
    said = cut_note(list(stages), {"network": 90, "begun": 10})
    assert said is not None and "begun 10 instead of 50 steps" in said


def test_tables_are_fitted_in_proportion_to_the_run() -> None:
    state = TrainingState(tiny_settings(batch=4, table_rows=3), CPU)
    counts = []
    for steps in (1, 30, 3000):
        state.progress.step = steps
        counts.append(in_proportion(state, 128))
    assert counts == [4, 10, 128]


def test_curves_have_the_numbers_of_the_log(run: Run, folder: Path, tmp_path: Path) -> None:
    entry = {"step": 20, "stage": "noise", "psnr_db": 30.5, "bpp": 1}
    assert dict(scalars(entry)) == {"psnr_db": 30.5, "bpp": 1}
    assert dict(scalars({"step": 1, "validation": {"50": [0.5, 31.0, 0.9]}})) == {
        "bpp/q50": 0.5, "psnr_db/q50": 31.0, "usage/q50": 0.9,
    }  # fmt: skip


def test_curves_are_written_beside_the_output_or_the_extra_is_named(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "model.safetensors"
    command = ("train", folder, "--quantizer", "vq", "-K", 16, "--batch", 1, "--crop", 32, "--threads", 1, "-o", output)
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    lacking = run(*command, "--log", "tensorboard", "--steps", 1)
    assert (lacking.code, output.exists()) == (1, False)
    assert lacking.err == "vqc: --log tensorboard needs tensorboard; pip install 'vqcodec[tensorboard]'\n"
    monkeypatch.undo()
    pytest.importorskip("tensorboard")
    assert run(*command, "--log", "tensorboard", "--steps", 50).code == 0
    assert list((tmp_path / "model.safetensors.tensorboard").glob("events*"))


def test_a_run_returns_its_figures(folder: Path, tmp_path: Path) -> None:
    settings = tiny_settings(validation_pictures=2)
    figures = training.run([folder], tmp_path / "model.safetensors", settings, resume=False)
    assert figures is not None and figures.held_out and figures.pictures == 1
    assert 10 < figures.psnr_db < 60 and 0 < figures.bpp < 24


@pytest.mark.parametrize(
    ("psnr_db", "bpp", "needs"),
    [(24.0, 2.0, ""), (23.9, 1.0, "more time"), (30.0, 2.1, "fewer units"), (20.0, 3.0, "more time.*fewer units")],
)
def test_a_model_of_little_use_says_what_it_needs(psnr_db: float, bpp: float, needs: str) -> None:
    said = str(Figures(psnr_db, bpp, 4, True))
    assert re.search(needs, said) and (";" in said) == bool(needs)
