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

from vqcodec import ranks
from vqcodec.errors import SettingsError
from vqcodec.exact import model_file
from vqcodec.files import atomic_write
from vqcodec.ranks import check_divisible
from vqcodec.training import checkpoint
from vqcodec.training import trainer as loops
from vqcodec.training.first import first_values
from vqcodec.training.follower import TensorBoard
from vqcodec.training.held_out import Figures, measure, shown
from vqcodec.training.looks import export as perceptual_export
from vqcodec.training.looks.loop import Perceptual, PerceptualTrainer
from vqcodec.training.looks.settings import PerceptualSettings
from vqcodec.training.papers import export as autoencoder_export
from vqcodec.training.papers.loop import Autoencoder, AutoencoderTrainer
from vqcodec.training.papers.settings import AutoencoderSettings
from vqcodec.training.photo.export import export
from vqcodec.training.photo.loop import Trainer
from vqcodec.training.photo.rate_weight import CODED_CROPS
from vqcodec.training.photo.settings import TrainingSettings
from vqcodec.training.photo.source import in_proportion
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.pictures.picture_set import PictureSet, load_pictures
from vqcodec.training.pictures.shards import is_streamed
from vqcodec.training.pictures.streamed import stream_pictures
from vqcodec.training.recipe import Settings, make_settings, read_recipe

__all__ = [
    "AutoencoderSettings",
    "TrainingSettings",
    "check_divisible",
    "checkpoint_path",
    "first_values",
    "make_settings",
    "read_recipe",
    "resumed_settings",
    "run",
]
Trained = tuple[model_file.Metadata, model_file.Arrays, PictureSet, bool]
"""A model, the pictures that it is measured on, and whether these were held out."""
S = TypeVar("S", bound=Settings)
R = TypeVar("R", bound=checkpoint.Run)
# Tables need more crops than a step has, and not those that the last steps were trained on.
_FIT_CROPS, _FIT_SEED, _VARIANCE_CROPS = 512, 1, 64
# What coding and measuring a pixel takes, in pixels of a step, which are seen forward and backward.
_CODING, _MEASURING = 0.4, 1.5


def checkpoint_path(output: Path) -> Path:
    """Return where the checkpoint of a run that writes `output` lies."""
    return output.with_name(output.name + ".checkpoint")


def resumed_settings(output: Path) -> dict[str, Any]:
    """Return the settings of the run whose checkpoint stands beside `output`; InputError where there is none."""
    settings: dict[str, Any] = checkpoint.read(checkpoint_path(output))["settings"]
    return settings


def run(
    sources: list[Path],
    output: Path,
    settings: Settings,
    resume: bool,
    stop_after: int | None = None,
    pattern: str | None = None,
    log: str | None = None,
) -> Figures | None:
    """Train on the pictures in folders, .tar shards or files; write the model and return its figures when done.

    `pattern` is a shell pattern that the names of pictures in folders and shards must have. Returns None when the run
    was interrupted (Ctrl-C or `stop_after` steps); its checkpoint stands beside `output` and `resume=True` continues
    it. `log` "tensorboard" writes curves into a folder beside `output`. Processes that torchrun has started share the
    run; the first writes.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    path = checkpoint_path(output)
    try:
        with ranks.joined():
            follower = TensorBoard(output.with_name(output.name + ".tensorboard")) if log and ranks.is_first() else None
            made = _Run(sources, path, settings, ranks.device(), resume, pattern, stop_after, follower)
            trained = _KINDS[type(settings)](made)
            figures = ranks.from_first(lambda: trained and _written(output, *trained))
    except KeyboardInterrupt:  # before the first step, when there may be no checkpoint, or after the last
        if not path.exists():
            raise
        return None
    return figures


def _written(
    output: Path, metadata: model_file.Metadata, arrays: model_file.Arrays, pictures: PictureSet, held_out: bool
) -> Figures:
    with atomic_write(output, force=True) as file:
        file.write(model_file.to_bytes(metadata, arrays))
    return measure(metadata, arrays, pictures, held_out)


@dataclass(frozen=True)
class _Run(Generic[S]):
    """What a run of any kind is made from."""

    sources: list[Path]
    path: Path
    settings: S
    device: torch.device
    resume: bool
    pattern: str | None
    stop_after: int | None
    follower: TensorBoard | None

    def begin(self, kind: Callable[[S, torch.device], R]) -> R:
        """Return what a checkpoint keeps, new or from the checkpoint."""
        return checkpoint.begin(self.path, kind, self.settings, self.device, self.resume)

    def is_to_export(self, trainer: loops.Trainer[Any], work_after: float = 0.0) -> bool:
        """Train; return whether the run is over and this is the process that makes its model."""
        trainer.follower, trainer.work_after = self.follower, work_after
        return trainer.run(self.stop_after) and ranks.is_first()

    def pictures(self) -> PictureSet:
        """Return the pictures."""
        if self.settings.stream or any(map(is_streamed, self.sources)):
            if self.pattern:
                raise SettingsError("--match is for pictures that are all read at first; leave it out, or --stream")
            pictures: PictureSet = stream_pictures(self.sources, self.device, self.settings.seed)
        else:
            pictures = load_pictures(self.sources, self.device, self.pattern)
        ranks.check_same(
            lambda: pictures.digest, "the processes of the run see different pictures; give all of them the same"
        )
        return pictures


def _train_photo(run: _Run[TrainingSettings]) -> Trained | None:
    state = run.begin(TrainingState)
    pictures = run.pictures()
    training, validation = pictures.split(run.settings.validation_pictures)
    trainer = Trainer(state, training, validation, run.path)
    if not run.is_to_export(trainer, _work_after(run.settings, CODED_CROPS, validation)):
        return None
    state.average.settle()
    at_hand = training.at(state.progress.step, run.settings.batch)
    model = export(state, at_hand, in_proportion(state, run.settings.fit_crops))
    return *model, validation, len(training) < len(pictures)


def _train_perceptual(run: _Run[PerceptualSettings]) -> Trained | None:
    # First of all the state: it says at once where the weights of a loss are missing.
    state = run.begin(Perceptual)
    pictures = run.pictures()
    if not run.is_to_export(PerceptualTrainer(state, pictures, run.path)):
        return None
    metadata, arrays = perceptual_export.export(state)
    metadata.training["pictures"] = len(pictures)
    return metadata, arrays, pictures.split(0)[1], False


def _train_autoencoder(run: _Run[AutoencoderSettings]) -> Trained | None:
    state, settings, pictures = run.begin(Autoencoder), run.settings, run.pictures()
    training, validation = pictures.split(settings.validation_pictures)
    sample = training.at(0, settings.batch).crops(np.random.default_rng(settings.seed), _VARIANCE_CROPS, settings.crop)
    batches = partial(_crops, training, settings, 0)
    trainer = AutoencoderTrainer(state, batches, float(sample.var()), run.path)
    if not run.is_to_export(trainer, _work_after(settings, _FIT_CROPS, validation)):
        return None
    count = max(1, _FIT_CROPS // settings.batch)
    model = autoencoder_export.export(state, (_crops(training, settings, _FIT_SEED, n) for n in range(count)))
    return *model, validation, len(training) < len(pictures)


_KINDS: dict[type[Settings], Callable[[_Run[Any]], Trained | None]] = {
    TrainingSettings: _train_photo,
    PerceptualSettings: _train_perceptual,
    AutoencoderSettings: _train_autoencoder,
}


def _work_after(settings: Settings, crops: int, pictures: PictureSet) -> float:
    """Return how many steps take as long as coding so many crops and measuring the model on pictures."""
    measured = sum(picture.shape[1] * picture.shape[2] for picture in shown(pictures).pictures)
    return (crops / settings.batch) * _CODING + measured * _MEASURING / (settings.batch * settings.crop**2)


def _crops(pictures: PictureSet, settings: AutoencoderSettings, kind: int, step: int) -> Tensor:
    """Return the crops of a step, the same for the same step; `kind` 0 are those that are trained on."""
    numbers = np.random.default_rng((settings.seed, kind, step))
    return pictures.at(step, settings.batch).crops(numbers, settings.batch, settings.crop)
