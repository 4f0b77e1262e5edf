"""Where networks compute: by --device, VQC_DEVICE or load_model's argument, and what a machine without a GPU says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from conftest import Run

from vqcodec import device, load_model
from vqcodec.api import load_coder
from vqcodec.codec import Codec, _TorchTransform
from vqcodec.device import DEVICE_VARIABLE, chosen
from vqcodec.errors import SettingsError
from vqcodec.image import Picture
from vqcodec.pinned import _precisions, pinned_gpu

GPUS = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
Pixels = npt.NDArray[np.uint8]


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "")


def gpus(monkeypatch: pytest.MonkeyPatch, *there: str) -> None:
    """Let torch say that it has these, and no others."""
    monkeypatch.setattr(device, "_has_cuda", lambda: "cuda" in there)
    monkeypatch.setattr(device, "_has_mps", lambda: "mps" in there)


@pytest.mark.parametrize(
    ("name", "there", "found"),
    [
        (None, ("cuda",), "cpu"),
        ("cpu", ("cuda",), "cpu"),
        ("cuda", ("cuda", "mps"), "cuda"),
        ("mps", ("cuda", "mps"), "mps"),
        ("auto", ("cuda", "mps"), "cuda"),
        ("auto", ("mps",), "mps"),
        ("auto", (), "cpu"),
    ],
)
def test_what_is_chosen(name: str | None, there: tuple[str, ...], found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, *there)
    assert chosen(name) == found
    if name:
        monkeypatch.setenv(DEVICE_VARIABLE, name)
        assert chosen() == found


def test_the_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, "cuda")
    monkeypatch.setenv(DEVICE_VARIABLE, "cuda")
    assert chosen("cpu") == "cpu"


@pytest.mark.parametrize(("name", "said"), [("cuda", "--device cpu or auto"), ("mps", "finds no mps"), ("gpu", "cuda")])
def test_a_device_that_is_not_there(
    name: str, said: str, tiny_model: Path, run: Run, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(monkeypatch)
    with pytest.raises(SettingsError, match=said):
        load_model(tiny_model, name)
    monkeypatch.setenv(DEVICE_VARIABLE, name)
    result = run("compress", photo, "--model", tiny_model)
    assert result.code == 1
    assert said in result.err
    assert not photo.with_suffix(".vqc").exists()


def test_a_device_that_is_not_there_is_said_once_for_all_files(
    run: Run, photo: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(monkeypatch)
    photo.with_name("second.png").write_bytes(photo.read_bytes())
    result = run("compress", photo, photo.with_name("second.png"), "--model", tiny_model, "--device", "cuda")
    assert result.code == 1
    assert result.err.count("finds no cuda") == 1


def test_auto_without_a_gpu_is_the_processor_and_says_so(
    run: Run, photo: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(monkeypatch)
    packed = photo.with_suffix(".vqc")
    files = []
    for options in ((), ("--device", "cpu"), ("--device", "auto"), ("--device", "auto", "--quiet")):
        result = run("compress", photo, "--model", tiny_model, "-f", *options)
        assert result.code == 0
        assert ("no GPU" in result.err) == (options == ("--device", "auto"))
        files.append(packed.read_bytes())
    assert len(set(files)) == 1
    for command in (("decompress", packed, "-o", "-"), ("verify", photo, packed)):
        assert run(*command, "--model", tiny_model, "--device", "auto").code == 0


def test_commands_pass_on_what_was_chosen(
    run: Run, photo: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor under the name of a GPU: the codec of torch is made for it, also where none would be needed."""
    gpus(monkeypatch, "cuda")
    asked = []

    def opened(model: Any, name: str = "cpu") -> Codec:
        asked.append(name)
        return Codec(*model_file_of(model))

    monkeypatch.setattr(Codec, "open", opened)
    packed = photo.with_suffix(".vqc")
    assert run("compress", photo, "--model", "photo", "--effort", 1, "--device", "cuda").code == 0
    assert run("decompress", packed, "-o", "-", "--device", "auto").code == 0
    assert run("verify", photo, packed, "--device", "cuda").code == 0
    assert asked == ["cuda"]  # and then it comes from memory
    assert run("eval", photo, "--codec", str(tiny_model), "--quality", "50", "--metrics", "psnr", "--device", "cuda",
               "--jobs", 1, "-o", photo.parent / "results").code == 0  # fmt: skip
    assert asked == ["cuda", "cuda"]


def model_file_of(model: Any) -> Any:
    """Metadata and arrays of a model."""
    from vqcodec.exact import model_file

    return model_file.load(model)


def test_arrays_go_to_the_device_of_the_network() -> None:
    """Of the device "meta" nothing comes back; a network that gives what lies on the processor shows what it got."""
    seen = []

    def network(x: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
        seen.extend((x.device.type, quality.device.type))
        return torch.ones(1, 3, 16, 16)

    stub: Any = SimpleNamespace(stride=16, has_rates=True, analysis=network, synthesis=network)
    transform = _TorchTransform(stub, torch.device("meta"))
    for array in (
        transform.analysis(np.zeros((3, 16, 16), np.float32), 50.0),
        transform.synthesis(np.zeros((3, 16, 16), np.float32), 50.0),
    ):
        np.testing.assert_array_equal(array, np.ones((3, 16, 16), np.float32))
    assert set(seen) == {"meta"}


def test_a_gpu_without_room_is_a_memory_error_and_other_faults_are_not() -> None:
    def failing(message: str) -> _TorchTransform:
        def network(x: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
            raise RuntimeError(message)

        stub: Any = SimpleNamespace(stride=16, has_rates=True, analysis=network)
        return _TorchTransform(stub, torch.device("cpu"))

    with pytest.raises(MemoryError):
        failing("CUDA out of memory. Tried to allocate 2 GiB").analysis(np.zeros((3, 16, 16), np.float32), 50.0)
    with pytest.raises(RuntimeError, match="shapes differ"):
        failing("shapes differ").analysis(np.zeros((3, 16, 16), np.float32), 50.0)


@pytest.mark.parametrize("before", ["tf32", "ieee", "none"])
def test_a_gpu_computes_in_all_of_float32_and_then_as_it_was(before: str) -> None:
    """The settings of CUDA are there without it; one that the older names cannot express is left alone too."""
    settings = [(place, name) for place, name, _ in _precisions()]
    kept = [getattr(place, name) for place, name in settings]
    wanted = before if settings[0][1] == "fp32_precision" else before == "tf32"
    try:
        for place, name in settings:
            setattr(place, name, wanted)
        with pinned_gpu(torch.device("cuda")):
            assert [getattr(place, name) for place, name in settings] == [full for *_, full in _precisions()]
        assert [getattr(place, name) for place, name in settings] == [wanted] * 2
    finally:
        for (place, name), value in zip(settings, kept, strict=True):
            setattr(place, name, value)


def test_a_model_that_a_gpu_cannot_take_is_said(tiny_model: Path) -> None:
    with pytest.raises(SettingsError, match="choose --device cpu"):
        Codec.open(tiny_model, "nowhere")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.skipif(not t, reason=f"there is no {n}")) for n, t in GPUS.items()]
)
@pytest.mark.parametrize("effort", [1, 3])
def test_a_gpu_decodes_to_the_same_indices_and_shows_the_same(name: str, effort: int, pixels: Pixels) -> None:
    here, there = load_coder("photo"), load_coder("photo", name)
    for coder in (here, there):
        data = coder.compress(Picture(pixels), 50, effort=effort)
        shown = [other.decompress(data).pixels.astype(int) for other in (here, there)]  # checks the indices' checksum
        assert np.abs(shown[0] - shown[1]).max() <= 1
