"""Fixtures: a tiny model that takes a second to make, and a small picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tiny import picture, picture_set, tiny_settings

from vqcodec import model_file
from vqcodec.codec import Codec
from vqcodec.training.export import export
from vqcodec.training.loop import Trainer
from vqcodec.training.state import TrainingState


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of a small photo network, trained for a few steps through all three stages."""
    folder = tmp_path_factory.mktemp("model")
    pictures = picture_set()
    state = TrainingState(tiny_settings(), torch.device("cpu"))
    assert Trainer(state, pictures, pictures, folder / "tiny.checkpoint").run()
    path = folder / "tiny.safetensors"
    path.write_bytes(model_file.to_bytes(*export(state, pictures, 4)))
    return path


@pytest.fixture(scope="session")
def tiny_codec(tiny_model: Path) -> Codec:
    """The codec of the tiny model."""
    return Codec.open(tiny_model)


@pytest.fixture(scope="session")
def pixels() -> npt.NDArray[np.uint8]:
    """A picture uint8 [70, 101, 3] with flat parts, gradients and texture."""
    return picture(70, 101, seed=3)
