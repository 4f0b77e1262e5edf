"""The codecs of the evaluation: real files, the settings they promise, and one sentence for what cannot be."""

from __future__ import annotations

import builtins
import io
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, features
from tiny import picture

from vqcodec.errors import InputError, ModelError, OutputError, SettingsError
from vqcodec.evaluation import codecs
from vqcodec.evaluation.eval import measure
from vqcodec.evaluation.metrics import psnr

Pixels = npt.NDArray[np.uint8]
SAMPLE = Path(__file__).parent.parent / "samples" / "chelsea.png"


SLOW = ("vvc", "av1-slow")


@pytest.fixture(scope="module")
def sample() -> Pixels:
    """A photograph, uint8 [160, 224, 3]."""
    with Image.open(SAMPLE) as image:
        return np.array(image.convert("RGB"))[40:200, 60:284]


@pytest.mark.parametrize("name", codecs.FORMATS)
def test_more_quality_is_more_bytes_and_less_error(name: str, sample: Pixels) -> None:
    codec = codecs.open_codec(name)
    assert codec.name == name
    if name in SLOW:
        sample = sample[:64, :64]
    files = [codec.encode(sample, quality) for quality in codec.default_qualities[1::2]]
    errors = [psnr(sample, codec.decode(data)) for data in files]
    assert list(map(len, files)) == sorted(map(len, files))
    assert errors == sorted(errors)
    assert len(set(errors)) == len(errors)


@pytest.mark.parametrize("name", codecs.FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (3, 50), (33, 17)])
def test_small_pictures_come_back_in_their_size_or_are_refused(name: str, size: tuple[int, int]) -> None:
    codec, pixels = codecs.open_codec(name), picture(*size, seed=2)
    try:
        data = codec.encode(pixels, 50)
    except OutputError as error:
        assert str(error).startswith(f"{name} cannot encode the picture")
    else:
        assert codec.decode(data).shape == pixels.shape


@pytest.mark.parametrize(
    ("name", "format", "options"),
    [
        ("jpeg", "JPEG", {"quality": 35, "optimize": True, "progressive": True}),
        ("jpeg-444", "JPEG", {"quality": 35, "optimize": True, "progressive": True, "subsampling": 0}),
        ("webp", "WEBP", {"quality": 35, "method": 6}),
        ("avif-444", "AVIF", {"quality": 35, "speed": 6, "subsampling": "4:4:4", "max_threads": 1}),
        (
            "jpeg2000",
            "JPEG2000",
            {"mct": 1, "irreversible": True, "quality_mode": "dB", "quality_layers": [28.75]},
        ),
    ],
)
def test_files_are_those_of_the_settings(name: str, format: str, options: dict[str, Any], sample: Pixels) -> None:
    expected = io.BytesIO()
    Image.fromarray(sample).save(expected, format, **options)
    assert codecs.open_codec(name).encode(sample, 35) == expected.getvalue()


@pytest.mark.parametrize(("name", "marker"), [("jpeg", b"\x22\x11"), ("jpeg-444", b"\x11\x11")])
def test_jpeg_files_are_progressive_and_subsampled_as_their_name_says(name: str, marker: bytes, sample: Pixels) -> None:
    data = codecs.open_codec(name).encode(sample, 50)
    start = data.index(b"\xff\xc2")  # the start of a progressive frame
    assert data[start + 11 : start + 12] + data[start + 14 : start + 15] == marker


def test_jpeg2000_reaches_the_psnr_that_its_quality_means(sample: Pixels) -> None:
    codec = codecs.open_codec("jpeg2000")
    for quality in (40, 64):
        assert psnr(sample, codec.decode(codec.encode(sample, quality))) == pytest.approx(20 + quality / 4, abs=0.7)


def test_avif_tuned_for_psnr_is_another_file_of_more_psnr_for_its_size(sample: Pixels) -> None:
    eye, error = codecs.open_codec("avif-444"), codecs.open_codec("avif-psnr")
    limit = len(error.encode(sample, 50))
    best = max((data for q in range(40, 70, 3) if len(data := eye.encode(sample, q)) <= limit), key=len)
    assert psnr(sample, error.decode(error.encode(sample, 50))) > psnr(sample, eye.decode(best))


def test_settings_name_options_and_versions() -> None:
    settings = codecs.open_codec("avif-psnr").settings
    assert settings["advanced"] == {"tune": "psnr"}
    assert settings["subsampling"] == "4:4:4"
    assert settings["versions"]["avif"] == features.version("avif")
    assert "quality / 4" in codecs.open_codec("jpeg2000").settings["quality_layers"]


def test_our_model_is_a_codec_by_its_path(tiny_model: Path, pixels: Pixels) -> None:
    codec = codecs.open_codec(str(tiny_model))
    data = codec.encode(pixels, 50)
    assert (codec.name, codec.label) == ("tiny", "vqc tiny")
    assert data.startswith(b"\x89VQC")
    assert codec.decode(data).shape == pixels.shape
    assert codec.settings["quantizer"]["K"] == 32


def test_models_of_the_same_file_name_are_told_apart(tiny_model: Path, tmp_path: Path) -> None:
    other = tmp_path / "tiny.safetensors"
    other.write_bytes(tiny_model.read_bytes())
    names = [codec.name for codec in codecs.open_codecs([str(tiny_model), str(other), "jpeg"]).values()]
    assert names == [str(tiny_model), str(other), "jpeg"]


def test_qualities_that_a_codec_cannot_take_are_refused(tiny_model: Path) -> None:
    ours, jpeg, jpeg2000 = (codecs.open_codec(name) for name in (str(tiny_model), "jpeg", "jpeg2000"))
    assert codecs.check_qualities(ours, [50, 10.5, 50]) == [10.5, 50]
    assert codecs.check_qualities(jpeg2000, [33.5]) == [33.5]
    with pytest.raises(SettingsError, match="jpeg takes whole numbers"):
        codecs.check_qualities(jpeg, [10.5])
    with pytest.raises(SettingsError, match=r"outside 1\.\.100"):
        codecs.check_qualities(jpeg, [0])


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no codec 'jpg'; choose from jpeg, "):
        codecs.open_codec("jpg")
    with pytest.raises(ModelError, match="no model"):
        codecs.open_codec(str(tmp_path / "absent.safetensors"))


def test_jpeg_xl_without_its_plugin_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without_plugin(name: str, *rest: Any) -> ModuleType:
        if name == "pillow_jxl":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_plugin)
    with pytest.raises(SettingsError, match=r"pip install 'vqcodec\[jxl\]'"):
        codecs.open_codec("jxl")


def test_a_pillow_without_a_format_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: name != "avif")
    with pytest.raises(SettingsError, match="avif: this Pillow lacks avif"):
        codecs.open_codec("avif")


def test_a_codec_that_returns_another_size_is_caught(pixels: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = codecs.open_codec("jpeg")
    monkeypatch.setattr(codec, "decode", lambda data: pixels[1:])
    with pytest.raises(InputError, match="came back as"):
        measure.code(codec, pixels, 50)


PEERS = {"heic": "pillow_heif", "jpegli": "pyjpegli", "vvc": "imageio_ffmpeg", "av1-slow": "imageio_ffmpeg"}


@pytest.mark.parametrize(("name", "module"), PEERS.items())
def test_a_peer_that_is_not_installed_names_its_package(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingsError, match=rf"{name} needs .*; pip install 'vqcodec\[peers\]'"):
        codecs.open_codec(name)


def test_what_ffmpeg_says_of_a_damaged_file_is_one_sentence(sample: Pixels) -> None:
    codec = codecs.open_codec("vvc")
    with pytest.raises(OutputError, match="^vvc: ffmpeg failed: [^\n]*$"):
        codec.decode(codec.encode(sample[:8, :8], 20)[:9])
