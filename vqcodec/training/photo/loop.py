"""The stages of a run by rate and distortion, and what comes between its steps: validation in real bytes."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from vqcodec.training import trainer
from vqcodec.training.photo.basis import block_basis
from vqcodec.training.photo.begin_from import start_from
from vqcodec.training.photo.loss import weighed
from vqcodec.training.photo.source import in_proportion, refine_of, source_of
from vqcodec.training.photo.state import NOISE, PRIOR, QUANTIZED, SYNTHESIS, TrainingState, parameters_of
from vqcodec.training.photo.validation import validate
from vqcodec.training.pictures.picture_set import PictureSet
from vqcodec.training.rate.contract import Seen, Source
from vqcodec.training.rate.reach import cap_gains
from vqcodec.training.stage import Batch, Stage
from vqcodec.training.stepping import cosine, qualities

# The synthesis alone begins low: it was trained with the rest, and only gets used to what is really sent.
_FINAL_RATE, _SYNTHESIS_RATE = 0.0, 0.2
# A network near its optimum must not start at a high rate: 1e-3 does damage that takes hundreds of steps to repair.
_CONTEXT_RATE = 0.25
_PLAIN_EVERY = 4
# 64 blocks in each of 1024 crops fix a covariance of 768; densities have few parameters.
_BASIS_CROPS, _DENSITY_CROPS, _EXTREME_CROPS = 1024, 192, 64


class Trainer(trainer.Trainer[TrainingState]):
    """Runs a TrainingState over pictures until its steps or seconds are spent."""

    def __init__(
        self, state: TrainingState, training: PictureSet, validation: PictureSet, checkpoint_path: Path
    ) -> None:
        super().__init__(state, checkpoint_path)
        self._all, self.validation = training, validation
        self._validated = state.progress.seconds

    @property
    def training(self) -> PictureSet:
        """The pictures that the present step has at hand."""
        return self._all.at(self.state.progress.step, self.state.settings.batch)

    def make_stages(self) -> list[Stage[Any]]:
        """Return rounding alone, the networks of the rate alone, indices in the loop, and the synthesis alone."""
        state, settings, rate = self.state, self.state.settings, self.state.rate
        joint, alone = 1 - settings.synthesis_share, bool(rate.networks)
        stage = partial(
            Stage, loss=partial(weighed, state), rate=self._falling, advance=self._advance, after=self._after
        )
        all_but_gains = partial(state.learn, lambda name: rate.gains_learn or name != "log_gain")
        # While latents are only rounded, the other prior has no tables to code them with.
        learn_noise = partial(state.learn, coder=state.static)
        noise = stage(NOISE, self._rounded, until=settings.quantized_from, learn=learn_noise)
        prior = stage(
            PRIOR,
            self._quantized,
            until=1 - settings.quantised_share - settings.synthesis_share,
            begin=self._start_rate,
            learn=partial(state.learn, lambda name: False),
        )
        quantized = stage(QUANTIZED, self._quantized, until=joint, begin=self._start_rate, learn=all_but_gains)
        if alone:
            quantized = replace(quantized, begin=self._settle_rate, rate=self._again)
        names = state.network.synthesis_names
        only_synthesis = partial(state.learn, lambda name: name.startswith(names), False, final=True)
        last = stage(SYNTHESIS, self._sent, begin=self._finish_rate, learn=only_synthesis)
        last = replace(last, rate=self._last, advance=self._advance_last)
        return [noise, *([prior] if alone else []), quantized, last]

    def start(self) -> None:
        """Start from a model, or from the pictures' block basis, as a transform codec; fit the density to either."""
        state = self.state
        numbers, _ = state.random()
        if state.settings.init:
            start_from(state, state.settings.init, lambda: self._crops(numbers))
        else:
            state.network.set_basis(*block_basis(self.training, numbers, _BASIS_CROPS))
        x = self.training.crops(numbers, _DENSITY_CROPS, 64)
        with torch.no_grad():
            quality = torch.full((len(x),), 50.0, device=state.device)
            natural = state.network.analysis(x, quality) / state.network.gain(quality)
        state.density.fit(natural.movedim(1, -1).reshape(-1, state.network.d), state.network.sigma)

    def batch(self) -> Batch:
        """Return crops, qualities and noise of the step's number."""
        state, settings = self.state, self.state.settings
        numbers, noise = state.random()
        x = self.training.crops(numbers, settings.batch, settings.crop, settings.augmentation)
        quality = torch.from_numpy(qualities(numbers, settings.batch, settings.low_rates)).float()
        return Batch(x.contiguous(memory_format=torch.channels_last), quality.to(state.device), noise)

    def clip(self) -> None:
        """Limit the gradients of the network and of those of the rate, each for itself."""
        for module in (self.state.network, *self.state.rate.networks):
            torch.nn.utils.clip_grad_norm_(parameters_of(module), self.state.settings.clip)

    def between(self) -> None:
        """Validate if it is time to."""
        settings, progress = self.state.settings, self.state.progress
        if progress.seconds - self._validated < 60 * settings.validation_minutes:
            return
        started = time.monotonic()
        with self.long_work(), self.state.average.applied():
            figures = validate(self.state, self.training, self.validation)
        # The time of a validation counts, but not towards the next one.
        self._validated = progress.seconds + time.monotonic() - started
        self.add({"step": progress.step, "validation": figures})
        tqdm.write(f"step {progress.step}, real files of held-out pictures: {figures}", file=sys.stderr)

    def _crops(self, numbers: np.random.Generator) -> torch.Tensor:
        settings = self.state.settings
        return self.training.crops(numbers, _EXTREME_CROPS, settings.crop, settings.augmentation)

    def _source(self) -> Source:
        return source_of(self.state, self.training, in_proportion(self.state, self.state.settings.fit_crops))

    def _start_rate(self) -> None:
        self.state.average.settle()
        self.state.rate.start(self._source())

    def _settle_rate(self) -> None:
        self.state.average.settle()
        self.state.rate.settle(self._source())

    def _finish_rate(self) -> None:
        """Fit tables to what the encoder does; gains that leave the codebook's reach are capped first."""
        state, source = self.state, self._source()
        state.average.settle()
        cap_gains(state.network, state.quantizer, state.static.highest(source) * state.rate.finest_steps())
        state.rate.finish(source)

    def _rounded(self, batch: Batch) -> Seen:
        return self.state.static.rounded(*batch)

    def _quantized(self, batch: Batch) -> Seen:
        return self.state.rate.seen(*batch)

    @torch.no_grad()
    def _sent(self, batch: Batch) -> Seen:
        # Every effort of the encoder needs a synthesis that has seen such latents; most files have searched ones.
        refine = refine_of(self.state, plain=self.state.progress.step % _PLAIN_EVERY == _PLAIN_EVERY - 1)
        return self.state.rate.sent(batch.x, batch.quality, refine)

    def _advance(self, fraction: float) -> None:
        self.state.rate.round(fraction >= 1 - self.state.settings.integer_share)

    def _advance_last(self, _: float) -> None:
        self.state.rate.round(True)

    def _after(self, batch: Batch, y: torch.Tensor) -> dict[str, float]:
        self.state.average.update()
        return {}

    def _warm(self) -> float:
        return min(1.0, (self.state.progress.step + 1) / self.state.settings.warmup_steps)

    def _falling(self, fraction: float) -> float:
        joint = 1 - self.state.settings.synthesis_share
        return cosine(fraction / joint if joint else 1.0, _FINAL_RATE) * self._warm()

    def _again(self, fraction: float) -> float:
        settings = self.state.settings
        start = 1 - settings.synthesis_share - settings.quantised_share
        return _CONTEXT_RATE * cosine((fraction - start) / settings.quantised_share, _FINAL_RATE) * self._warm()

    def _last(self, fraction: float) -> float:
        return _SYNTHESIS_RATE * max(0.0, 1 - fraction) / self.state.settings.synthesis_share * self._warm()
