"""Training that begins with standardized latents or with the network of a model, and with codevectors among them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import Run, picture
from torch import Tensor

from vqcodec import quantizers, training
from vqcodec.errors import SettingsError
from vqcodec.exact import model_file
from vqcodec.quantizers import QuantizerSettings, settings_of
from vqcodec.training.papers import export as autoencoder_export
from vqcodec.training.papers.loop import Autoencoder, AutoencoderTrainer
from vqcodec.training.papers.settings import AutoencoderSettings

CHANNELS, DEAD = 16, 3
BATCHES = 5
"""Two pictures of 2 × 2 latents each give at least one latent for each of 40 codevectors."""


def soft(name: str, seed: int = 0, **options: float) -> Any:
    """A soft quantizer of 12 codevectors of 4 values."""
    torch.manual_seed(seed)
    return quantizers.build(settings_of(name, K=12, m=1, d_star=4), options)  # type: ignore[arg-type]


def latents(state: Autoencoder, batches: Any) -> Tensor:
    """Latents [B, d, 2, 2] of the batches that training begins with."""
    with torch.no_grad():
        return torch.cat([state.network.analysis(batches(i), torch.full((2,), 50.0)) for i in range(BATCHES)])


@pytest.mark.parametrize("network", [{"network": "vqvae"}, {"network": "vqgan", "width": 4}])
def test_latents_begin_with_mean_0_and_variance_1_and_codevectors_among_them(
    network: dict[str, Any], tmp_path: Path
) -> None:
    """The layer before the quantizer is changed and no other; a channel that is constant does no harm."""
    settings = AutoencoderSettings(quantizer="sq", K=40, d=CHANNELS, standardised=True, **network)
    state, untouched = (Autoencoder(settings, torch.device("cpu")) for _ in range(2))
    side = 2 * state.network.stride

    def batches(step: int) -> Tensor:
        return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(step))

    for each in (state, untouched):
        layer: Any = each.network.get_submodule("before")
        with torch.no_grad():
            layer.weight[DEAD] = 0
            layer.bias[DEAD] = 7
    AutoencoderTrainer(state, batches, 0.07, tmp_path / "none").start()
    z, raw = latents(state, batches), latents(untouched, batches)
    expected = (raw - raw.mean((0, 2, 3), keepdim=True)) / raw.std((0, 2, 3), keepdim=True).clamp(min=1e-4)
    assert torch.allclose(z, expected, atol=1e-3)
    assert z[:, DEAD].abs().max() < 0.1
    features = z.movedim(1, -1).reshape(-1, CHANNELS)
    assert all((features - codevector).abs().amax(1).min() < 1e-3 for codevector in state.quantizer.codevectors())
    before = untouched.network.state_dict()
    assert {name for name, value in state.network.state_dict().items() if not torch.equal(value, before[name])} == {
        "before.weight",
        "before.bias",
    }


@pytest.mark.parametrize(
    ("name", "m", "own"),
    [("sq", 1, False), ("gumbel", 1, False), ("vq", 1, False), ("cvq", 1, False), ("looc", 3, False), ("pq", 3, True)],
)
def test_codevectors_are_drawn_from_the_features_of_their_units(name: str, m: int, own: bool) -> None:
    z = torch.randn(2, m * 4, 3, 5, generator=torch.Generator().manual_seed(1))
    one, same, other = (
        quantizers.build(settings_of(name, K=12, m=m, d_star=4))  # type: ignore[arg-type]
        for _ in range(3)
    )
    for quantizer, seed in ((one, 0), (same, 0), (other, 1)):
        quantizer.begin(z, torch.Generator().manual_seed(seed))
    features = [unit.movedim(1, -1).reshape(-1, 4) for unit in z.chunk(m, 1)]
    books = list(one.codevectors()) if own else [one.codevectors()]
    for book, found in zip(books, features if own else [torch.cat(features)], strict=True):
        assert all((found == codevector).all(1).any() for codevector in book)
        assert len(book.unique(dim=0)) == 12
    if name == "looc":
        assert all(any((unit == c).all(1).any() for c in books[0]) for unit in features)
    assert torch.equal(one.codevectors(), same.codevectors()) and not torch.equal(
        one.codevectors(), other.codevectors()
    )


def test_codevectors_of_unit_length_begin_as_directions_and_stages_that_add_up_as_they_are() -> None:
    z = 7 * torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(1))
    settings = QuantizerSettings("vq", K=40, m=1, d_star=4, match="cosine")
    unit = quantizers.build(settings, {"codes": "unit"})
    unit.begin(z, torch.Generator().manual_seed(0))
    codebook: Any = unit.codebook
    assert torch.allclose(codebook.norm(dim=1), torch.ones(40))
    assert len(codebook.unique(dim=0)) == 30, "all there are, some of them twice"
    staged = quantizers.build(settings_of("rq", K=12, m=1, d_star=4, depth=3))
    before = staged.codevectors().clone()
    staged.begin(z, torch.Generator().manual_seed(0))
    assert torch.equal(staged.codevectors(), before)


def test_dual_begins_with_local_codevectors_among_the_features_and_leaves_the_global_ones() -> None:
    z = torch.randn(2, 8, 3, 5, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    dual: Any = quantizers.build(settings_of("dual", K=12, m=2, d_star=4), {"layers": 1, "heads": 2}).eval()
    before = dual.codevectors()[0].clone()
    dual.begin(z, torch.Generator().manual_seed(0))
    local = z[:, 4:].movedim(1, -1).reshape(-1, 4)
    assert all((local == codevector).all(1).any() for codevector in dual.codevectors()[1])
    assert torch.equal(dual.codevectors()[0], before)


@pytest.mark.parametrize("name", ["vq", "looc", "fsq"])
def test_a_run_begins_with_the_network_of_a_model_and_codevectors_among_its_latents(name: str, tmp_path: Path) -> None:
    def batches(step: int) -> Tensor:
        return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(step))

    device = torch.device("cpu")
    first = Autoencoder(AutoencoderSettings(quantizer="vq", K=16, d=2, table_bits=10, seed=1), device)
    model = tmp_path / "first.safetensors"
    model.write_bytes(model_file.to_bytes(*autoencoder_export.export(first, [batches(0)])))
    own = {"levels": (4, 4), "match": "fsq"} if name == "fsq" else {}
    settings = AutoencoderSettings(quantizer=name, K=16, d=2, **own)  # type: ignore[arg-type]
    state = Autoencoder(settings, device)
    AutoencoderTrainer(state, batches, 0.07, tmp_path / "none", str(model)).start()
    for key, value in state.network.state_dict().items():
        assert torch.equal(value, first.network.state_dict()[key].half().float()), key
    if name != "fsq":
        with torch.no_grad():
            z = state.network.analysis(batches(0), torch.full((2,), 50.0))
        features = z.movedim(1, -1).reshape(-1, 2)
        assert all((features == codevector).all(1).any() for codevector in state.quantizer.codevectors())


def test_a_model_of_another_network_is_refused(tmp_path: Path) -> None:
    first = Autoencoder(AutoencoderSettings(quantizer="vq", K=4, d=2, table_bits=10), torch.device("cpu"))
    model = tmp_path / "first.safetensors"
    model.write_bytes(model_file.to_bytes(*autoencoder_export.export(first, [torch.rand(1, 3, 32, 32)])))
    state = Autoencoder(AutoencoderSettings(quantizer="vq", K=4, d=3), torch.device("cpu"))
    with pytest.raises(SettingsError, match=r"has d=2, this run d=3; set d$"):
        AutoencoderTrainer(state, lambda _: torch.rand(1, 3, 32, 32), 0.07, tmp_path / "none", str(model)).start()
    with pytest.raises(SettingsError, match="leave standardised out"):
        AutoencoderSettings(standardised=True, init=str(model))


def test_a_run_of_another_kind_of_network_is_refused(tmp_path: Path) -> None:
    state = Autoencoder(AutoencoderSettings(quantizer="vq", K=4, d=3, init="photo"), torch.device("cpu"))
    with pytest.raises(SettingsError, match="photo has the network photo, this run vqvae; set network"):
        AutoencoderTrainer(state, lambda _: torch.rand(1, 3, 32, 32), 0.07, tmp_path / "none").start()


@pytest.mark.parametrize("begun", [{"standardised": True}, {"init": "first.safetensors"}])
def test_a_run_interrupted_before_its_first_step_ends_as_one_that_was_not(
    begun: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture(40, 48, seed=0)).save("photo.png")
    common: dict[str, Any] = {"quantizer": "sq", "K": 16, "d": 8, "steps": 2, "batch": 2, "crop": 32, "threads": 1}
    sources = [Path("photo.png")]
    assert training.run(sources, Path("first.safetensors"), AutoencoderSettings(**common, table_bits=10), False)
    settings = AutoencoderSettings(**common, **begun, table_bits=10)
    whole, parts = Path("whole.safetensors"), Path("parts.safetensors")
    assert training.run(sources, whole, settings, resume=False)
    assert not training.run(sources, parts, settings, resume=False, stop_after=0)
    assert training.run(sources, parts, settings, resume=True)
    prints = [model_file.load(path)[0].fingerprint for path in (Path("first.safetensors"), whole, parts)]
    assert prints[1] == prints[2] != prints[0]


def test_the_command_line_starts_any_method_from_a_model_and_refuses_another_one(run: Run, tmp_path: Path) -> None:
    Image.fromarray(picture(40, 48, seed=0)).save(tmp_path / "photo.png")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('network = "vqvae"\nK = 16\nd = 8\nbatch = 2\ncrop = 32\ntable_bits = 10\n')
    common = ("train", tmp_path / "photo.png", "--recipe", recipe, "--steps", 2, "--threads", 1)
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    assert run(*common, "--quantizer", "vq", "-o", first).code == 0
    done = run(*common, "--quantizer", "cvq", "--init", first, "-o", second)
    assert done.code == 0, done.err
    metadata, arrays = model_file.load(second)
    assert metadata.quantizer["name"] == "cvq" and metadata.training["settings"]["init"] == "first"
    before = model_file.load(first)[1]
    # Two steps of 3e-4 change weights by less than 1e-3; networks of another beginning differ by a tenth.
    names = [name for name in before if name.startswith("network.")]
    assert all(np.allclose(arrays[n].astype(float), before[n].astype(float), atol=2e-3) for n in names)
    other = run(*common, "--quantizer", "cvq", "--init", "photo", "-o", tmp_path / "third.safetensors")
    assert other.code == 1 and "this run vqvae; set network" in other.err


@pytest.mark.parametrize("pace", [0.0, float("nan"), float("inf")])
def test_a_pace_that_makes_no_sense_is_refused(pace: float) -> None:
    with pytest.raises(SettingsError, match=r"option pace of quantizer 'sq' is \w+; choose a number above 0"):
        soft("sq", pace=pace)


def test_pace_is_how_fast_the_variance_of_sq_moves() -> None:
    for pace in (1.0, 5.0):
        quantizer = soft("sq", variance=2.0, pace=pace)
        before = quantizer.precision().detach()
        with torch.no_grad():
            quantizer.log_variance.sub_(0.1)
        after = quantizer.precision().detach()
        assert [float(before), float(after)] == pytest.approx([0.25, 0.25 * math.exp(0.1 * pace)])
