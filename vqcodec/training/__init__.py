"""Training: pictures in, a model file out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from vqcodec import model_file
from vqcodec.files import atomic_write
from vqcodec.training import checkpoint
from vqcodec.training.data import load_pictures
from vqcodec.training.export import export
from vqcodec.training.loop import Trainer
from vqcodec.training.settings import TrainingSettings, make_settings, read_recipe
from vqcodec.training.state import TrainingState

__all__ = ["TrainingSettings", "checkpoint_path", "make_settings", "read_recipe", "resumed_settings", "run"]


def checkpoint_path(output: Path) -> Path:
    """Return where the checkpoint of a run that writes `output` lies."""
    return output.with_name(output.name + ".checkpoint")


def resumed_settings(output: Path) -> dict[str, Any]:
    """Return the settings of the run whose checkpoint stands beside `output`; InputError where there is none."""
    values: dict[str, Any] = checkpoint.read(checkpoint_path(output))["settings"]
    return values


def run(
    sources: list[Path], output: Path, settings: TrainingSettings, resume: bool, stop_after: int | None = None
) -> bool:
    """Train on the pictures in folders, .tar shards or files; write the model and return True when done.

    Returns False when the run was interrupted (Ctrl-C or `stop_after` steps); its checkpoint
    stands beside `output` and `resume=True` continues it.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    path = checkpoint_path(output)
    state = checkpoint.restore(path, settings, device) if resume else TrainingState(settings, device)
    pictures = load_pictures(sources, device)
    training, validation = pictures.split(settings.validation_pictures)
    if not Trainer(state, training, validation, path).run(stop_after):
        return False
    data = model_file.to_bytes(*export(state, training, settings.fit_crops))
    with atomic_write(output, force=True) as file:
        file.write(data)
    return True
