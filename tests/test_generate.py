"""vqc generate: a generator, a page and a table of a toy model, the same again, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dataset_forms import made, write_xz
from PIL import Image
from pressing import pressed_after
from tiny import Run

from vqcodec.codec import Codec
from vqcodec.errors import InputError, SettingsError
from vqcodec.exact import model_file
from vqcodec.generation import distance, sequences
from vqcodec.generation import run as generation
from vqcodec.generation.distance import Distances
from vqcodec.generation.learning import bits
from vqcodec.training.papers import export
from vqcodec.training.papers.loop import Autoencoder
from vqcodec.training.papers.settings import AutoencoderSettings
from vqcodec.training.pictures.images import to_pictures

TRAIN, TEST = 12, 4
SMALL = ("--steps", 4, "--batch", 3, "--width", 16, "--layers", 1, "--threads", 1)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few random pictures of MNIST's form."""
    folder = tmp_path_factory.mktemp("sets")
    write_xz(folder, *made("mnist", "train", TRAIN), "train")
    write_xz(folder, *made("mnist", "test", TEST), "test")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two codebooks that was never trained; its codevectors are spread so that several are used."""
    settings = AutoencoderSettings(quantizer="pq", K=8, m=2, d=8, channels=1, table_bits=10)
    state = Autoencoder(settings, torch.device("cpu"))
    with torch.no_grad():
        state.quantizer.codebook.copy_(0.1 * torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(1)))
    path = tmp_path_factory.mktemp("model") / "pq.safetensors"
    x = to_pictures(torch.from_numpy(made("mnist", "train", TRAIN)[0]))
    path.write_bytes(model_file.to_bytes(*export.export(state, [x])))
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_generator_makes_a_page_and_the_same_one_again_for_the_same_seed(
    run: Run, sets: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "made" / "here"
    command = ("generate", model, "--data", sets, "--only", "mnist", "-o", output, *SMALL, "--count", 0)
    done = run(*command)
    assert done.code == 0, done.err
    assert f"{output / 'samples.png'}: samples of {output / 'generator.safetensors'}\n" in done.out.decode()
    with Image.open(output / "samples.png") as page:
        assert page.size == (8 * 28, 8 * 28)
    first = files(output)
    assert set(first) == {"generator.safetensors", "samples.png"}
    with monkeypatch.context() as patch:
        patch.setattr(generation, "learn", lambda *_: pytest.fail("it is there already"))
        assert run(*command).code == 0 and files(output) == first
        for changed in (("--seed", 1), ("--temperature", 0.5), ("--top", 2)):
            assert run(*command, *changed).code == 0 and files(output)["samples.png"] != first["samples.png"], changed
        other = run(*command, "--width", 24)
        assert other.code == 1 and "was made otherwise" in other.err and "-f makes it anew" in other.err
    assert run(*command, "--width", 24, "-f").code == 0
    assert files(output)["generator.safetensors"] != first["generator.safetensors"]


def test_what_was_interrupted_goes_on_and_another_run_does_not_take_it_over(
    run: Run, sets: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("generate", model, "--data", sets, "--only", "mnist", *SMALL, "--count", 0, "-o")
    assert run(*command, tmp_path / "whole").code == 0
    with pressed_after(2, monkeypatch):
        stopped = run(*command, tmp_path / "parts")
    assert stopped.code == 130 and "the same command goes on" in stopped.err
    assert set(files(tmp_path / "parts")) == {"generator.safetensors.checkpoint"}
    other = run(*command, tmp_path / "parts", "--batch", 2)
    assert other.code == 1 and "is of another run" in other.err and "-f starts anew" in other.err
    assert run(*command, tmp_path / "parts").code == 0
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    (tmp_path / "parts" / "generator.safetensors").unlink()
    (tmp_path / "parts" / "generator.safetensors.checkpoint").write_bytes(b"no checkpoint")
    bad = run(*command, tmp_path / "parts")
    assert bad.code == 1 and "cannot be gone on with; delete it" in bad.err


def test_samples_are_indices_of_the_model_which_its_decoder_shows(sets: Path, model: Path, tmp_path: Path) -> None:
    place = generation.Workplace(Codec.open(model), sets, "mnist", tmp_path, {"width": 16, "layers": 1, "heads": 2})
    transformer = place.bring(generation.Schooling(steps=1, batch=2), force=False)
    assert transformer is not None
    drawn = place.drawn(transformer, 5, generation.Drawing(seed=3))
    assert drawn.shape == (5, 2, 7, 7) and int(drawn.min()) >= 0 and int(drawn.max()) < 8
    assert (transformer.sizes.tables, transformer.sizes.places) == (2, 98)
    assert torch.equal(place.drawn(transformer, 5, generation.Drawing(seed=3)), drawn)
    pixels, codec = place.test, place.codec
    indices = sequences.indices_of(codec, pixels)
    expected = codec.encode(np.repeat(pixels[0], 3, axis=2))
    assert np.array_equal(indices[0].numpy(), expected.choice.indices)
    assert np.array_equal(sequences.pictures_of(codec, indices)[0], codec.decode(expected))
    assert place.by_tables(3, 0).shape == (3, 2, 7, 7)


def test_the_table_names_the_distance_and_orders_what_is_far(
    features: None, run: Run, sets: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    means = {"to": lambda self, pixels: float(abs(pixels.mean() - self.mean)), "__init__": _remember}
    for name, function in means.items():
        monkeypatch.setattr(Distances, name, function)
    monkeypatch.setattr(distance, "LEAST", TEST)
    command = ("generate", model, "--data", sets, "--only", "mnist", "-o", tmp_path, *SMALL, "--count", TEST)
    done = run(*command, "--json")
    assert done.code == 0, done.err
    values = json.loads(done.out)
    assert list(values["distances"]) == [
        "training pictures", "reconstructions", "samples", "samples of the model's tables",
        "samples of an untrained generator",
    ]  # fmt: skip
    assert "EfficientNet-lite2" in values["distance"] and values["pictures"] == TEST
    made_by = values["generator"] | values["generator"]["learned"] | values["generator"]["sizes"] | values["drawing"]
    expected = {"steps": 4, "batch": 3, "width": 16, "layers": 1, "seed": 0, "temperature": 1.0, "top": 0}
    assert expected.items() <= made_by.items() and made_by["data"].startswith("mnist: 12 pictures, crc ")
    assert 2 < values["bits_per_index"] < 4, "of 8 codevectors, after four steps"
    assert json.loads((tmp_path / "generation.json").read_text()).items() <= values.items()
    lines = run(*command).out.decode().splitlines()
    assert lines[0] == "| 4 pictures each | distance from test pictures |" and len(lines) == 8
    assert run(*command[:-1], 0, "--seed", 1).code == 0
    assert not (tmp_path / "generation.json").exists(), "of another page"


def test_pictures_of_an_ordered_set_are_spread_evenly(
    sets: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sets come class by class, or photograph by photograph: the first of them are of few."""
    seen: list[list[int]] = []
    monkeypatch.setattr(Distances, "__init__", lambda self, pixels: seen.append(pixels[:, 0, 0, 0].tolist()))
    monkeypatch.setattr(Distances, "to", lambda self, pixels: seen.append(pixels[:, 0, 0, 0].tolist()))
    place = generation.Workplace(Codec.open(model), sets, "mnist", tmp_path, {"width": 16, "layers": 1, "heads": 2})
    how = generation.Schooling(steps=0)
    transformer = place.bring(how, force=False)
    assert transformer is not None
    place.train[:], place.test[:] = (np.arange(n, dtype=np.uint8)[:, None, None, None] for n in (TRAIN, TEST))
    values = place.measure(transformer, how, generation.Drawing(), 3)
    assert values["pictures"] == 3 and seen[:2] == [[0, 1, 2], [0, 4, 8]]
    place.measure(transformer, how, generation.Drawing(), 2)
    assert seen[6:8] == [[0, 2], [0, 6]]


def test_networks_see_few_large_pictures_at_once(sets: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = generation.Workplace(Codec.open(model), sets, "mnist", sets)
    codec = place.codec
    counts: list[int] = []
    whole = sequences.indices_of(codec, place.train)
    shown = sequences.pictures_of(codec, whole)
    for part in ("analysis", "synthesis"):
        monkeypatch.setattr(codec.network, part, _noting(getattr(codec.network, part), counts))
    monkeypatch.setattr(sequences, "_PIXELS_AT_ONCE", 5 * 28 * 28 + 1)
    assert torch.equal(sequences.indices_of(codec, place.train), whole) and counts == [5, 5, 2]
    assert np.abs(sequences.pictures_of(codec, whole).astype(int) - shown).max() <= 1 and counts[3:] == [5, 5, 2]
    monkeypatch.undo()
    assert [sequences.at_once(side**2) for side in (28, 32, 64, 256, 1024)] == [250, 250, 64, 4, 1]


def _noting(network: Callable[..., torch.Tensor], counts: list[int]) -> Callable[..., torch.Tensor]:
    """The same, and the sizes of what goes through it are noted."""

    def noted(x: torch.Tensor, *rest: Any) -> torch.Tensor:
        counts.append(len(x))
        return network(x, *rest)

    return noted


def _remember(self: Distances, pixels: np.ndarray) -> None:  # type: ignore[type-arg]
    self.mean = pixels.mean()  # type: ignore[attr-defined]


def test_the_distance_is_of_the_features_of_pictures(features: None) -> None:
    random = np.random.default_rng(0)
    flat = np.repeat(np.repeat(random.integers(0, 256, (130, 4, 4, 1), np.uint8), 8, 1), 8, 2)
    noise = random.integers(0, 256, (130, 32, 32, 1), np.uint8)
    distances = Distances(flat)
    assert distances.features.shape == (130, distance.CHANNELS)
    assert abs(distances.to(flat)) < 1e-3 < distances.to(flat[::-1] // 2) < distances.to(noise)
    with pytest.raises(InputError, match=r"50 pictures are too few .* take more \(--count\)"):
        distances.to(noise[:50])


def test_models_and_pictures_that_make_no_sequences(
    sets: Path, model: Path, tiny_model: Path, context_model: Path
) -> None:
    for path in (tiny_model, context_model):
        with pytest.raises(SettingsError, match="depend on a quality and its prior; generate with"):
            sequences.grid_of(Codec.open(path), (1, 32, 32, 3))
    codec = Codec.open(model)
    with pytest.raises(SettingsError, match="pictures of 30 x 28 are no whole latents of 4 pixels"):
        sequences.grid_of(codec, (1, 28, 30, 1))
    with pytest.raises(SettingsError, match="a picture has 8192 indices, and a generator at most 4096"):
        sequences.grid_of(codec, (1, 256, 256, 1))


def test_mistakes_are_named_in_a_sentence(run: Run, sets: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "generator.safetensors").write_text("no generator")
    common = ("--data", sets, "--only", "mnist", *SMALL, "--count", 0)
    for arguments, said in (
        ((model, *common, "-o", tmp_path / "x", "--only", "svhn"), "no data set 'svhn'; choose from mnist"),
        ((model, *common, "-o", tmp_path / "file" / "x"), "cannot be made a folder"),
        ((model, *common, "-o", tmp_path / "bad"), "is not a generator of this vqc; delete it"),
        ((model, *common, "-o", tmp_path / "x", "--width", 12), "width=12 of a generator does not divide into 8 heads"),
        ((model, *common, "-o", tmp_path / "x", "--temperature", 0), "temperature 0 is outside 0.01..100"),
        ((model, *common, "-o", tmp_path / "x", "--temperature", 101), "temperature 101 is outside 0.01..100"),
        ((model, *common, "-o", tmp_path / "x", "--temperature", "nan"), "temperature nan is outside 0.01..100"),
        ((model, *common, "-o", tmp_path / "x", "--seed", 1 << 64), "seed 18446744073709551616 is outside 0..46116"),
        (("none", *common, "-o", tmp_path / "x"), "there is no model 'none'"),
        (("photo", *common, "-o", tmp_path / "x"), "depend on a quality and its prior"),
    ):
        failed = run("generate", *arguments)
        assert (failed.code, failed.err.count("\n")) == (1, 1) and said in failed.err, failed.err
    assert not list(tmp_path.rglob("samples.png")) and not (tmp_path / "x").exists()


def test_too_few_pictures_are_named_before_training(
    run: Run, sets: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distance, "require", lambda: None)
    command = ("generate", model, "--data", sets, "--only", "mnist", "-o", tmp_path / "x", *SMALL, "--count")
    for count, said in (
        (120, "--count 120 is too few for a distance; choose 121 or more"),
        (121, "has 4 test pictures"),
    ):
        failed = run(*command, count)
        assert (failed.code, failed.err.count("\n")) == (1, 1) and said in failed.err, failed.err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["samples.png", "generation.json"])
def test_files_of_no_generator_of_ours_are_replaced_with_f_alone(
    run: Run, sets: Path, model: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("mine")
    command = ("generate", model, "--data", sets, "--only", "mnist", "-o", tmp_path, *SMALL, "--count", 0)
    refused = run(*command)
    assert refused.code == 1 and "is of no generator in this folder; choose another with -o" in refused.err
    assert files(tmp_path) == {name: b"mine"}
    assert run(*command, "-f").code == 0 and set(files(tmp_path)) == {"generator.safetensors", "samples.png"}
    assert files(tmp_path)["samples.png"].startswith(b"\x89PNG")


def test_what_is_drawn_and_measured_at_once_is_bounded(
    sets: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = generation.Workplace(Codec.open(model), sets, "mnist", tmp_path, {"width": 16, "layers": 1, "heads": 2})
    transformer = place.bring(generation.Schooling(steps=0), force=False)
    assert transformer is not None
    x = sequences.to_sequences(sequences.indices_of(place.codec, place.train))
    whole, sample, parts = bits(transformer, x), transformer.sample, []

    def noted(count: int, *rest: Any) -> torch.Tensor:
        parts.append(count)
        return sample(count, *rest)

    monkeypatch.setattr(transformer, "sample", noted)
    monkeypatch.setattr("vqcodec.generation.transformer._MEMORY_BYTES", 2 * 4 * (2 * 16 * 98 + 4 * 8))
    assert len(place.drawn(transformer, 5, generation.Drawing())) == 5 and parts == [2, 2, 1]
    assert transformer.sizes.measured_at_once == 1 and bits(transformer, x) == pytest.approx(whole, rel=1e-5)
