"""Training: pictures in, a model file out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from vqcodec.exact import model_file
from vqcodec.files import atomic_write
from vqcodec.training import checkpoint
from vqcodec.training.looks import export as perceptual_export
from vqcodec.training.looks.loop import Perceptual, PerceptualTrainer
from vqcodec.training.looks.settings import PerceptualSettings
from vqcodec.training.papers import export as autoencoder_export
from vqcodec.training.papers.loop import Autoencoder, AutoencoderTrainer
from vqcodec.training.papers.settings import AutoencoderSettings
from vqcodec.training.photo.export import export
from vqcodec.training.photo.loop import Trainer
from vqcodec.training.photo.settings import TrainingSettings
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.pictures.picture_set import PictureSet, load_pictures
from vqcodec.training.recipe import Settings, make_settings, read_recipe

__all__ = [
    "AutoencoderSettings",
    "TrainingSettings",
    "checkpoint_path",
    "make_settings",
    "read_recipe",
    "resumed_settings",
    "run",
]
Model = tuple[model_file.Metadata, model_file.Arrays]
S = TypeVar("S", bound=Settings)
R = TypeVar("R", bound=checkpoint.Run)
# Tables need more crops than a step has, and not those that the last steps were trained on.
_FIT_CROPS, _FIT_SEED, _VARIANCE_CROPS = 512, 1, 64


def checkpoint_path(output: Path) -> Path:
    """Return where the checkpoint of a run that writes `output` lies."""
    return output.with_name(output.name + ".checkpoint")


def resumed_settings(output: Path) -> dict[str, Any]:
    """Return the settings of the run whose checkpoint stands beside `output`; InputError where there is none."""
    settings: dict[str, Any] = checkpoint.read(checkpoint_path(output))["settings"]
    return settings


def run(sources: list[Path], output: Path, settings: Settings, resume: bool, stop_after: int | None = None) -> bool:
    """Train on the pictures in folders, .tar shards or files; write the model and return True when done.

    Returns False when the run was interrupted (Ctrl-C or `stop_after` steps); its checkpoint
    stands beside `output` and `resume=True` continues it.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    path = checkpoint_path(output)
    try:
        trained = _KINDS[type(settings)](_Run(sources, path, settings, device, resume), stop_after)
    except KeyboardInterrupt:  # before the first step, when there may be no checkpoint, or after the last
        if not path.exists():
            raise
        trained = None
    if trained is None:
        return False
    with atomic_write(output, force=True) as file:
        file.write(model_file.to_bytes(*trained))
    return True


@dataclass(frozen=True)
class _Run(Generic[S]):
    """What a run of any kind is made from."""

    sources: list[Path]
    path: Path
    settings: S
    device: torch.device
    resume: bool

    def begin(self, kind: Callable[[S, torch.device], R]) -> R:
        """Return what a checkpoint keeps, new or from the checkpoint."""
        return checkpoint.begin(self.path, kind, self.settings, self.device, self.resume)

    def pictures(self) -> PictureSet:
        """Return the pictures."""
        return load_pictures(self.sources, self.device)


def _train_photo(run: _Run[TrainingSettings], stop_after: int | None) -> Model | None:
    state = run.begin(TrainingState)
    training, validation = run.pictures().split(run.settings.validation_pictures)
    if not Trainer(state, training, validation, run.path).run(stop_after):
        return None
    state.average.settle()
    return export(state, training, run.settings.fit_crops)


def _train_perceptual(run: _Run[PerceptualSettings], stop_after: int | None) -> Model | None:
    # First of all the state: it says at once where the weights of a loss are missing.
    state = run.begin(Perceptual)
    pictures = run.pictures()
    if not PerceptualTrainer(state, pictures, run.path).run(stop_after):
        return None
    metadata, arrays = perceptual_export.export(state)
    metadata.training["pictures"] = len(pictures)
    return metadata, arrays


def _train_autoencoder(run: _Run[AutoencoderSettings], stop_after: int | None) -> Model | None:
    state, settings, pictures = run.begin(Autoencoder), run.settings, run.pictures()
    sample = pictures.crops(np.random.default_rng(settings.seed), _VARIANCE_CROPS, settings.crop)
    batches = partial(_crops, pictures, settings, 0)
    if not AutoencoderTrainer(state, batches, float(sample.var()), run.path).run(stop_after):
        return None
    count = max(1, _FIT_CROPS // settings.batch)
    return autoencoder_export.export(state, (_crops(pictures, settings, _FIT_SEED, n) for n in range(count)))


_KINDS: dict[type[Settings], Callable[[_Run[Any], int | None], Model | None]] = {
    TrainingSettings: _train_photo,
    PerceptualSettings: _train_perceptual,
    AutoencoderSettings: _train_autoencoder,
}


def _crops(pictures: PictureSet, settings: AutoencoderSettings, kind: int, step: int) -> Tensor:
    """Return the crops of a step, the same for the same step; `kind` 0 are those that are trained on."""
    return pictures.crops(np.random.default_rng((settings.seed, kind, step)), settings.batch, settings.crop)
