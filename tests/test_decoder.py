"""The decoder without torch shows what the codec shows, for whole models and tiles, and refuses damaged models."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_architecture import modules_after, run_cli
from tiny import TINY_CONTEXT, picture, shaken, tiny_settings, trained

from vqcodec import api
from vqcodec.codec import Codec
from vqcodec.decoder import Decoder, Part, can_decode, showing
from vqcodec.decoder import decoder as module
from vqcodec.errors import InputError, ModelError
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.image import Picture


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a context prior, its weights shaken, so that each of them counts."""
    return shaken(trained(tmp_path_factory.mktemp("decoder") / "model.safetensors", tiny_settings(**TINY_CONTEXT)))


@pytest.mark.parametrize("quality", [1, 37.5, 80, 100])
@pytest.mark.parametrize("tile", [2, 128])
def test_pixels_are_those_of_the_codec(model: Path, quality: float, tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "SYNTHESIS_TILE", tile)
    codec, quick = Codec.open(model), Decoder(*model_file.load(model))
    data = codec.compress(Picture(picture(70, 101, seed=1)), quality, effort=0)
    wanted, shown = codec.decompress(data).pixels, quick.picture_of(container.read(data)).pixels
    assert np.abs(wanted.astype(int) - shown).max() <= 1
    assert (wanted != shown).mean() < 1e-3
    assert wanted.std() > 1


def test_shipped_models_are_decoded_without_torch(tmp_path: Path) -> None:
    pixels = picture(40, 50, seed=2)
    for path in model_file.shipped():
        assert can_decode(model_file.load(path)[0])
    for number, path in enumerate(model_file.shipped()):
        (tmp_path / f"{number}.vqc").write_bytes(Codec.open(path).compress(Picture(pixels), effort=0))
        code = run_cli("decompress", str(tmp_path / f"{number}.vqc"))
        assert not {"torch", "vqcodec.codec"} & modules_after(code)
        assert (tmp_path / f"{number}.png").exists()


def test_other_models_and_installations_go_through_the_codec(
    model: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(api.load_decoder(tiny_model), Codec)
    assert isinstance(api.load_decoder(model), Decoder)
    metadata, _ = model_file.load(model)
    assert not can_decode(replace(metadata, stride=8))
    assert not can_decode(replace(metadata, network={"name": "photo", "d": 24}))
    monkeypatch.setattr(module, "import_module", broken)
    module._runs.cache_clear()
    try:
        assert not can_decode(metadata)
    finally:
        module._runs.cache_clear()


def broken(name: str) -> None:
    """What importing a package says whose libraries are missing."""
    raise ImportError("DLL load failed")


def test_settings_that_make_no_network_are_said(model: Path) -> None:
    metadata, arrays = model_file.load(model)
    data = container.read(Codec(metadata, arrays).compress(Picture(picture(20, 20, seed=1)), effort=0))
    for change in ({"d": [1]}, {"widths": [1, 2]}, {"widths": "many"}):
        with pytest.raises(ModelError, match="network settings are damaged"):
            Decoder(replace(metadata, network=metadata.network | change), arrays).picture_of(data)
    with pytest.raises(ModelError, match="network settings are damaged"):
        Decoder(replace(metadata, network=metadata.network | {"d": [1]}), arrays).picture_of(data, Part(None, 2))


def test_one_network_is_kept(model: Path) -> None:
    quick = Decoder(*model_file.load(model))
    first = quick._session(50)
    assert quick._session(50) is first
    quick._session(20)
    assert list(quick._sessions) == [20]


@pytest.mark.parametrize("name", ["log_gain", "block_synthesis", "synthesis_mid.1.first.bias", "sigma"])
@pytest.mark.parametrize("damage", ["missing", "shape"])
def test_weights_that_do_not_fit_are_named(model: Path, name: str, damage: str) -> None:
    metadata, arrays = model_file.load(model)
    data = Codec(metadata, arrays).compress(Picture(picture(20, 20, seed=1)), effort=0)
    key = f"network.{name}"
    array = arrays.pop(key)
    if damage == "shape":
        arrays[key] = array[:1]
    with pytest.raises(ModelError, match=f"the model's weights {name} are .*its settings need"):
        Decoder(metadata, arrays).picture_of(container.read(data))


def test_a_runtime_that_refuses_the_network_is_said(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("Unsupported model IR version")

    data = container.read(Codec.open(model).compress(Picture(picture(20, 20, seed=1)), effort=0))
    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with pytest.raises(ModelError, match="Unsupported model IR version; update onnxruntime"):
        Decoder(*model_file.load(model)).picture_of(data)


def test_too_little_memory_is_one_sentence(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def run(self, *_: object) -> None:
            raise Exception("Failed to allocate memory for requested buffer")

    data = container.read(Codec.open(model).compress(Picture(picture(20, 20, seed=1)), effort=0))
    quick = Decoder(*model_file.load(model))
    monkeypatch.setattr(quick, "_session", lambda quality: Full())
    with pytest.raises(InputError, match="not enough memory for 20 x 20"):
        quick.picture_of(data)


def test_threads_are_what_the_environment_says_or_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert module._threads() == 3
    for said in ("", "many", "0"):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert 1 <= module._threads() <= (os.cpu_count() or 1)
