"""Without torch files and pictures are those of the codec, for whole models and tiles; damaged models are refused."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_architecture import modules_after, run_cli
from tiny import TINY_CONTEXT, picture, shaken, tiny_settings, trained

from vqcodec import api
from vqcodec.codec import Codec
from vqcodec.coder import quick_coder
from vqcodec.decoder import Part, showing
from vqcodec.errors import InputError, ModelError
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.image import Picture
from vqcodec.runtime import transform as module
from vqcodec.runtime.transform import PhotoTransform, can_run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a context prior, its weights shaken, so that each of them counts."""
    return shaken(trained(tmp_path_factory.mktemp("decoder") / "model.safetensors", tiny_settings(**TINY_CONTEXT)))


@pytest.mark.parametrize("quality", [1, 37.5, 80, 100])
@pytest.mark.parametrize("tile", [2, 128])
def test_pixels_are_those_of_the_codec(model: Path, quality: float, tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "SYNTHESIS_TILE", tile)
    monkeypatch.setattr(module, "FINE_TILE", tile)
    codec, quick = Codec.open(model), quick_coder(*model_file.load(model))
    data = codec.compress(Picture(picture(70, 101, seed=1)), quality, effort=0)
    wanted, shown = codec.decompress(data).pixels, quick.picture_of(container.read(data)).pixels
    assert np.abs(wanted.astype(int) - shown).max() <= 1
    assert (wanted != shown).mean() < 1e-3
    assert wanted.std() > 1


@pytest.mark.parametrize("quality", [1, 37.5, 80, 100])
def test_what_the_networks_give_is_what_torch_gives(model: Path, quality: float) -> None:
    codec, quick = Codec.open(model), quick_coder(*model_file.load(model))
    x = codec._padded(picture(70, 101, seed=1))
    z = codec.transform.analysis(x, quality)
    assert np.abs(z).max() > 1
    np.testing.assert_allclose(quick.transform.analysis(x, quality), z, rtol=0, atol=1e-3)
    z = np.rint(z)
    wanted, found = (one.transform.distortion_slope(z, x, quality) for one in (codec, quick))
    assert found[0] == pytest.approx(wanted[0], rel=1e-4)
    assert quick.transform.distortion(z, x, quality) == pytest.approx(wanted[0], rel=1e-4)
    np.testing.assert_allclose(found[1], wanted[1], rtol=0, atol=1e-4 * np.abs(wanted[1]).max())
    np.testing.assert_allclose(quick.transform.gain(quality), codec.transform.gain(quality), rtol=1e-5)


def test_slopes_are_differences_of_the_distortion(model: Path) -> None:
    """Beyond black and white nothing pulls: half of this picture lies there."""
    transform = quick_coder(*model_file.load(model)).transform
    x = np.random.default_rng(2).random((3, 64, 64), np.float32)
    x[:, :32] = np.rint(x[:, :32])
    z = 3 * transform.analysis(x, 60)
    _, slope = transform.distortion_slope(z, x, 60)
    step = slope * np.float32(0.01 / np.abs(slope).max())
    up, down = (transform.distortion(z + sign * step, x, 60) for sign in (1, -1))
    assert (up - down) / 2 == pytest.approx(float(np.vdot(slope, step)), rel=0.05)


@pytest.mark.parametrize("effort", [0, 1, 3])
def test_files_are_those_of_the_codec(model: Path, effort: int) -> None:
    """But for what lies between two codevectors, where the last digit decides."""
    pixels = picture(120, 150, seed=3)
    codec, quick = Codec.open(model), quick_coder(*model_file.load(model))
    wanted, found = (one.encode(pixels, 60, effort).choice.indices for one in (codec, quick))
    assert (found != wanted).mean() < 0.01
    sizes = [len(one.compress(Picture(pixels), 60, effort)) for one in (codec, quick)]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.01)


def test_shipped_models_need_no_torch(tmp_path: Path) -> None:
    pixels = picture(40, 50, seed=2)
    for path in model_file.shipped():
        assert can_run(model_file.load(path)[0])
    for number, path in enumerate(model_file.shipped()):
        (tmp_path / f"{number}.vqc").write_bytes(Codec.open(path).compress(Picture(pixels), effort=0))
        assert "numpy" not in modules_after(run_cli("info", str(tmp_path / f"{number}.vqc")))
        for command in (("decompress", ".vqc"), ("compress", ".png", "-f", "-e", "3", "--model", path)):
            name, suffix, *more = map(str, command)
            loaded = modules_after(run_cli(name, str(tmp_path / f"{number}{suffix}"), *more))
            assert not loaded & {"torch", "tqdm", "tarfile"}
            assert (tmp_path / f"{number}.png").exists()


def test_other_models_and_installations_go_through_the_codec(
    model: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(api.load_coder(tiny_model), Codec)
    assert not isinstance(api.load_coder(model), Codec)
    metadata, _ = model_file.load(model)
    assert not can_run(replace(metadata, stride=8))
    assert not can_run(replace(metadata, network={"name": "photo", "d": 24}))
    monkeypatch.setattr(module, "import_module", broken)
    module._runs.cache_clear()
    try:
        assert not can_run(metadata)
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
            quick_coder(replace(metadata, network=metadata.network | change), arrays).picture_of(data)
    with pytest.raises(ModelError, match="network settings are damaged"):
        quick_coder(replace(metadata, network=metadata.network | {"d": [1]}), arrays).picture_of(data, Part(None, 2))


def test_one_network_is_kept(model: Path) -> None:
    quick = quick_coder(*model_file.load(model))
    transform = quick.transform
    assert isinstance(transform, PhotoTransform)
    first = transform._session("photo_coarse", 50)
    assert transform._session("photo_coarse", 50) is first
    assert transform._session("photo_coarse", 20) is not first
    assert len(transform._sessions) == 1


@pytest.mark.parametrize("count", [1, 2])
def test_networks_are_made_beforehand_where_there_is_a_thread(
    model: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(count))
    transform = quick_coder(*model_file.load(model)).transform
    assert isinstance(transform, PhotoTransform)
    transform.prepare(50, "synthesis", "error_slope")
    for thread in threading.enumerate():
        if thread.name == "vqc prepares":
            thread.join()
    made = {"photo_coarse", "photo_fine", "photo_error_slope"} if count > 1 else set()
    assert set(transform._sessions) == made
    for name in made:
        session = transform._sessions[name][1]
        assert transform._session(name, 50) is session


def test_what_cannot_be_made_beforehand_is_said_when_it_is_asked_for(
    model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    metadata, arrays = model_file.load(model)
    data = container.read(Codec(metadata, arrays).compress(Picture(picture(20, 20, seed=1)), effort=0))
    del arrays["network.sigma"]
    with pytest.raises(ModelError, match="the model's weights sigma are missing"):
        quick_coder(metadata, arrays).picture_of(data)
    assert capfd.readouterr().err == ""


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
        quick_coder(metadata, arrays).picture_of(container.read(data))


def test_a_runtime_that_refuses_the_network_is_said(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("Unsupported model IR version")

    data = container.read(Codec.open(model).compress(Picture(picture(20, 20, seed=1)), effort=0))
    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with pytest.raises(ModelError, match="Unsupported model IR version; update onnxruntime"):
        quick_coder(*model_file.load(model)).picture_of(data)


def test_too_little_memory_is_one_sentence(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def run(self, *_: object) -> None:
            raise Exception("Failed to allocate memory for requested buffer")

    data = container.read(Codec.open(model).compress(Picture(picture(20, 20, seed=1)), effort=0))
    quick = quick_coder(*model_file.load(model))
    monkeypatch.setattr(quick.transform, "_session", lambda *_: Full())
    with pytest.raises(InputError, match="not enough memory for 20 x 20"):
        quick.picture_of(data)
