"""Small settings and synthetic pictures that tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from vqcodec.exact import model_file
from vqcodec.training.photo.export import export
from vqcodec.training.photo.loop import Trainer
from vqcodec.training.photo.settings import TrainingSettings
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.pictures.picture_set import PictureSet
from vqcodec.training.recipe import make_settings


class Result(NamedTuple):
    """What a run of the command line left: exit code, stdout and stderr."""

    code: int
    out: bytes
    err: str


Run = Callable[..., Result]
TINY_CONTEXT: dict[str, Any] = {
    "prior": "context",
    "wide": 12,
    "prior_share": 0.25,
    "integer_share": 0.5,
    "context_width": 16,
    "context_rows": 4,
}
"""Changes of tiny settings for a context prior."""


def tiny_settings(**changes: Any) -> TrainingSettings:
    """Settings of a run that takes about a second."""
    values: dict[str, Any] = {
        "name": "tiny",
        "K": 32,
        "m": 12,
        "d": 24,
        "wide": 12,
        "width": 8,
        "steps": 8,
        "batch": 2,
        "crop": 64,
        "classes": 3,
        "table_rows": 3,
        "table_count": 24,
        "fit_crops": 4,
        "quantised_share": 0.25,
        "synthesis_share": 0.25,
        "threads": 1,
    }
    return make_settings(None, values | changes)


def picture(height: int, width: int, seed: int) -> npt.NDArray[np.uint8]:
    """A picture uint8 [height, width, 3] with a gradient, blobs of color and noise in one corner."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    image = np.stack([y * 200 / height, x * 200 / width, 100 + 60 * np.sin(x / 7 + seed)], axis=2)
    for _ in range(6):
        cy, cx, radius = random.integers(height), random.integers(width), random.integers(4, 20)
        image[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = random.integers(0, 256, 3)
    image[: height // 3, : width // 3] += random.normal(0, 25, (height // 3, width // 3, 3))
    return image.clip(0, 255).astype(np.uint8)


def folder_of_pictures(folder: Path, count: int, height: int, width: int) -> Path:
    """A new folder with pictures 0.png, 1.png and so on, of seeds 0, 1 and so on."""
    folder.mkdir()
    for seed in range(count):
        Image.fromarray(picture(height, width, seed)).save(folder / f"{seed}.png")
    return folder


def picture_set(count: int = 5) -> PictureSet:
    """A training set of synthetic pictures."""
    pictures = [picture(96 + 8 * i, 120, seed=i) for i in range(count)]
    return PictureSet([torch.from_numpy(p).permute(2, 0, 1).contiguous() for p in pictures])


def shaken(model: Path) -> Path:
    """Add noise to the synthesis of a model file, so that each of its weights counts, and return its path."""
    metadata, arrays = model_file.load(model)
    generator = np.random.default_rng(0)
    for name, array in arrays.items():
        if name.startswith("network.synthesis"):
            noise = 0.1 * generator.standard_normal(array.shape)
            arrays[name] = (array + noise).astype(array.dtype)
    model.write_bytes(model_file.to_bytes(metadata, arrays))
    return model


def trained(output: Path, settings: TrainingSettings) -> Path:
    """Write the model file of a run on synthetic pictures, and return its path."""
    state, pictures = TrainingState(settings, torch.device("cpu")), picture_set()
    assert Trainer(state, pictures, pictures, output.with_suffix(".checkpoint")).run()
    output.write_bytes(model_file.to_bytes(*export(state, pictures, 4)))
    return output
