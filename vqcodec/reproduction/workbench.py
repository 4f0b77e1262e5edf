"""Trains and measures what a work folder lacks.

NAME.safetensors             the model of a run
NAME.safetensors.checkpoint  how far its training is, from which it goes on; one for all runs of the same training
NAME.json                    what was measured of the model
lossless-DATASET.json        bytes of lossless formats on the same pictures
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vqcodec import losses, quantizers
from vqcodec.errors import InputError, OutputError, SettingsError
from vqcodec.exact import model_file
from vqcodec.files import atomic_write
from vqcodec.quantizers import Quantizer
from vqcodec.reproduction import results
from vqcodec.reproduction.lossless import mean_bytes
from vqcodec.reproduction.measure import measure
from vqcodec.reproduction.paper_tables import START_EPOCHS
from vqcodec.reproduction.results import Values
from vqcodec.reproduction.runs import Run
from vqcodec.training import AutoencoderSettings, checkpoint, checkpoint_path, resumed_settings
from vqcodec.training.papers import export as autoencoder_export
from vqcodec.training.papers.loop import Autoencoder, AutoencoderTrainer
from vqcodec.training.pictures.datasets import Name, load_dataset
from vqcodec.training.pictures.images import Images
from vqcodec.training.pictures.large_sets import PictureFiles, checksum
from vqcodec.training.provenance import told_settings

# Epochs are whole steps: a rounding error must not ask for one more.
_EPSILON = 1e-9
_LOG_ENTRIES = 50


@dataclass(frozen=True, eq=False)
class Split:
    """Pictures uint8 [N, H, W, C] of a data set to train on and to measure; `text` says what they are."""

    train: npt.NDArray[np.uint8] | PictureFiles
    test: npt.NDArray[np.uint8] | PictureFiles
    text: str


class Workbench:
    """A folder of data sets, a work folder, and the share of the published epochs that runs are to have.

    `threads` is how many torch works with from then on, 0 for what it has chosen itself.
    """

    def __init__(self, data: Path, work: Path, budget: float, threads: int = 0) -> None:
        if threads:
            torch.set_num_threads(threads)
        self.data, self.work, self.budget = data, work, budget
        self._splits: dict[Name, Split] = {}
        try:
            work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{work} cannot be made a folder: {error.strerror}") from error

    def load(self, needed: Collection[tuple[Run, int]]) -> None:
        """Read the data sets of runs, and see whether there is what those that lack epochs need to begin.

        What is missing is then known before hours of training; SettingsError where a package or a table of words is.
        """
        for run, _ in needed:
            self._split(run.dataset)
        lacking = [run.settings for run, epochs in needed if self._enough(run, epochs) is None]
        try:
            for settings in {(s.quantizer_settings(), repr(s.options)): s for s in lacking}.values():
                quantizers.build(settings.quantizer_settings(), settings.options)
            for weights in {tuple(s.losses): s.losses for s in lacking if s.losses}.values():
                losses.build(weights)
        except (InputError, SettingsError) as error:
            raise SettingsError(f"{error}; or leave such rows out with --rows") from error

    def bring(self, run: Run, epochs: int) -> Values | None:
        """Return what was measured of a run of at least budget * epochs; trains and measures it first where needed.

        None where the training was interrupted; it goes on from there the next time.
        """
        return self._enough(run, epochs) or self._train(run, self.budget * epochs)

    def _train(self, run: Run, epochs: float) -> Values | None:
        """Train a run of so many epochs, or more where it has begun so, and measure it; None where interrupted."""
        split = self._split(run.dataset)
        images = Images(split.train, run.settings.batch, run.settings.seed, run.settings.crop, _device())
        steps = max(1, math.ceil(epochs * images.steps_per_epoch - _EPSILON))
        settings = replace(run.settings, name=run.name, data=split.text, steps=steps, threads=torch.get_num_threads())
        start = run.start
        init = "" if start is None else str(self._model(start))
        if start is not None and not self._model(start).exists() and self._train(start, START_EPOCHS) is None:
            return None
        model = self._model(run.trained)
        state = _resumed(model, replace(settings, name=run.trained.name, mode=run.trained.settings.mode))
        if not AutoencoderTrainer(state, images.batch, images.variance, checkpoint_path(model), init).run():
            return None
        if run != run.trained:
            state = _copied(state, replace(settings, steps=state.settings.steps))
        return self._finished(run, state, images, split)

    def lossless(self, dataset: Name) -> Values:
        """Return the bytes of lossless formats on a data set's test pictures; measures them where needed."""
        split = self._split(dataset)
        found = results.read_lossless(self.work, dataset)
        if found is not None and found["data"] == split.text:
            return found
        test = split.test.sample() if isinstance(split.test, PictureFiles) else split.test
        values = {
            "data": split.text,
            "pictures": len(test),
            "pixels": math.prod(test.shape[1:3]),
            "bytes": mean_bytes(test),
        }
        return results.write_lossless(self.work, dataset, values)

    def _split(self, dataset: Name) -> Split:
        if dataset not in self._splits:
            train, test = (load_dataset(self.data, dataset, split) for split in ("train", "test"))
            pixels = test.pixels if isinstance(test.pixels, PictureFiles) else test.pixels[test.exact]
            crc = checksum(pixels, checksum(train.pixels))
            text = f"{dataset}: {len(train.pixels)} pictures to train on, {len(pixels)} to test, crc {crc:08x}"
            self._splits[dataset] = Split(train.pixels, pixels, text)
        return self._splits[dataset]

    def _model(self, run: Run) -> Path:
        return self.work / f"{run.name}.safetensors"

    def _enough(self, run: Run, epochs: int) -> Values | None:
        """Return what was measured of a run of budget * epochs or more."""
        done = self._done(run)
        return done if done is not None and done["epochs"] >= self.budget * epochs - _EPSILON else None

    def _done(self, run: Run) -> Values | None:
        """Return what was measured of the model that is there; None where nothing was, or of an earlier model."""
        values = results.read_run(self.work, run.name)
        if values is None:
            return None
        _check_data(values["data"], self._split(run.dataset).text, self.work / f"{run.name}.json")
        model = self._model(run)
        if model.exists() and model_file.read_metadata(model).fingerprint != values["fingerprint"]:
            return None
        return values

    def _finished(self, run: Run, state: Autoencoder, images: Images, split: Split) -> Values:
        """Write the model with tables counted on all training pictures, and what is measured of the written file."""
        metadata, arrays = autoencoder_export.export(state, images.whole())
        with atomic_write(self._model(run), force=True) as file:
            file.write(model_file.to_bytes(metadata, arrays))
        progress = state.progress
        values = {
            "run": run.name,
            "data": split.text,
            "train_pictures": len(images),
            "steps": progress.step,
            "epochs": progress.step / images.steps_per_epoch,
            "seconds": round(progress.seconds),
            "settings": told_settings(state),
            "fingerprint": metadata.fingerprint,
            "measured": measure(self._model(run), split.test),
            "log": _thinned(progress.log),
        }
        return results.write_run(self.work, run.name, values)


def _thinned(log: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Return what the figures draw of a training, in at most _LOG_ENTRIES places, the last among them."""
    entries = [entry for entry in log if "usage" in entry]
    kept = entries[::-1][:: -(-len(entries) // _LOG_ENTRIES) or 1][::-1]
    return {key: [entry[key] for entry in kept] for key in ("step", "psnr_db", "usage", "perplexity")}


def _resumed(model: Path, settings: AutoencoderSettings) -> Autoencoder:
    """Return the run as its checkpoint has it, or a new one where there is none.

    What anneals, a method or the learning rate, and what has stages knows the length of a run from its first step, so
    one that is to be longer starts anew, and one that is to be shorter has the length of the checkpoint.
    """
    path, new = checkpoint_path(model), Autoencoder(settings, _device())
    if not path.exists():
        return new
    try:
        old = resumed_settings(model)
        if _knows_its_length(new) and old["steps"] > settings.steps:
            settings = replace(settings, steps=old["steps"])
        is_other = _knows_its_length(new) and old["steps"] != settings.steps
        state = new if is_other else checkpoint.restore(path, Autoencoder, settings, _device())
    except (InputError, SettingsError) as error:
        raise InputError(f"{path} cannot be gone on with; delete it, and the run starts anew") from error
    _check_data(old["data"], settings.data, path)
    return state


def _copied(trained: Autoencoder, settings: AutoencoderSettings) -> Autoencoder:
    """Return what was trained under a name and a way of storing that may be others."""
    state = Autoencoder(settings, trained.device)
    state.load_state_dict(trained.state_dict())
    return state


def _knows_its_length(state: Autoencoder) -> bool:
    settings = state.settings
    has_stages = settings.network_share > 0 or settings.adversarial > 0
    return has_stages or settings.schedule != "constant" or type(state.quantizer).advance is not Quantizer.advance


def _check_data(was: str, now: str, path: Path) -> None:
    if was != now:
        raise SettingsError(f"{path} is of other pictures ({was}) than these ({now}); choose another work folder")


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
