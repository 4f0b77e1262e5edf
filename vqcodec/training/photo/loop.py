"""The training loop: stages, schedule, validation in real bytes, checkpoints."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import torch
from tqdm import tqdm

from vqcodec.training.health import check_loss
from vqcodec.training.photo import objective
from vqcodec.training.photo.basis import block_basis
from vqcodec.training.photo.begin_from import start_from
from vqcodec.training.photo.reach import cap_gains
from vqcodec.training.photo.source import source_of
from vqcodec.training.photo.state import NOISE, PRIOR, QUANTISED, SYNTHESIS, TrainingState, parameters_of
from vqcodec.training.photo.validation import validate
from vqcodec.training.pictures.picture_set import PictureSet
from vqcodec.training.rate.contract import Source
from vqcodec.training.stepping import StepTrainer, cosine, qualities
from vqcodec.training.usage import usage_figures

_FINAL_RATE, _SYNTHESIS_RATE = 0.0, 0.2
# A network near its optimum must not start at a high rate: 1e-3 does damage that takes hundreds of steps to repair.
_CONTEXT_RATE = 0.15
_LOG_STEPS = 20
_BASIS_CROPS, _DENSITY_CROPS = 1024, 192


class Trainer(StepTrainer[TrainingState]):
    """Runs a TrainingState over pictures until its steps or seconds are spent."""

    def __init__(
        self, state: TrainingState, training: PictureSet, validation: PictureSet, checkpoint_path: Path
    ) -> None:
        super().__init__(state, checkpoint_path)
        self.training, self.validation = training, validation
        self._recent: list[objective.StepFigures] = []
        self._validated = state.progress.seconds

    def start(self) -> None:
        """Start from a model, or from the pictures' block basis, as a transform codec; fit the density to either."""
        state = self.state
        numbers, _ = state.random()
        if state.settings.init:
            start_from(state, state.settings.init)
        else:
            state.network.set_basis(*block_basis(self.training, numbers, _BASIS_CROPS))
        x = self.training.crops(numbers, _DENSITY_CROPS, 64)
        with torch.no_grad():
            quality = torch.full((len(x),), 50.0, device=state.device)
            natural = state.network.analysis(x, quality) / state.network.gain(quality)
        state.density.fit(natural.movedim(1, -1).reshape(-1, state.network.d), state.network.sigma)

    def _enter_stage(self) -> None:
        settings, state = self.state.settings, self.state
        fraction = self.fraction()
        if state.progress.stage == NOISE and fraction >= settings.quantised_from:
            state.average.settle()
            state.rate.start(self._source())
            state.enter(PRIOR if state.rate.networks else QUANTISED)
        if state.progress.stage == PRIOR and fraction >= 1 - settings.quantised_share - settings.synthesis_share:
            state.average.settle()
            state.enter(QUANTISED)
        if state.progress.stage == QUANTISED and fraction >= 1 - settings.synthesis_share:
            state.average.settle()
            self._finish()
            state.enter(SYNTHESIS)
        state.rate.round(state.progress.stage == SYNTHESIS or fraction >= 1 - settings.integer_share)

    def _finish(self) -> None:
        """Fit tables to what the encoder does; gains that leave the codebook's reach are capped first."""
        state, source = self.state, self._source()
        cap_gains(state.network, state.quantizer, state.static.highest(source))
        state.rate.finish(source)

    def _source(self) -> Source:
        return source_of(self.state, self.training, self.state.settings.fit_crops)

    def step(self, bar: tqdm[None]) -> None:
        """Enter the stage that it is time for, and take one step."""
        state, settings = self.state, self.state.settings
        self._enter_stage()
        self._set_rates()
        numbers, noise = state.random()
        x = self.training.crops(numbers, settings.batch, settings.crop, settings.augmentation)
        quality = torch.from_numpy(qualities(numbers, settings.batch, settings.low_rates)).float()
        x = x.contiguous(memory_format=torch.channels_last)
        result = objective.compute(state, x, quality.to(state.device), noise)
        check_loss(result.objective.item(), state.progress.step + 1, settings.learning_rate)
        state.optimizer.zero_grad(set_to_none=True)
        result.objective.backward()  # type: ignore[no-untyped-call]
        for module in (state.network, *state.rate.networks):
            torch.nn.utils.clip_grad_norm_(parameters_of(module), settings.clip)
        state.optimizer.step()
        state.average.update()
        state.progress.step += 1
        self._log(bar, result)

    def _set_rates(self) -> None:
        settings, fraction, stage = self.state.settings, self.fraction(), self.state.progress.stage
        joint = 1 - settings.synthesis_share
        if stage == SYNTHESIS:
            factor = _SYNTHESIS_RATE * max(0.0, 1 - fraction) / settings.synthesis_share
        elif stage == QUANTISED and self.state.rate.networks:
            start = joint - settings.quantised_share
            factor = _CONTEXT_RATE * cosine((fraction - start) / settings.quantised_share, _FINAL_RATE)
        else:
            factor = cosine(fraction / joint if joint else 1.0, _FINAL_RATE)
        factor *= min(1.0, (self.state.progress.step + 1) / settings.warmup_steps)
        for group, rate in zip(self.state.optimizer.param_groups, self.state.base_rates, strict=True):
            group["lr"] = rate * factor

    def _log(self, bar: tqdm[None], result: objective.StepFigures) -> None:
        self._recent.append(result)
        if self.state.progress.step % _LOG_STEPS:
            return
        count = len(self._recent)
        entry = {
            "step": self.state.progress.step,
            "stage": self.state.progress.stage,
            "seconds": round(self.state.progress.seconds, 1),
            "loss": round(sum(r.weighted for r in self._recent) / count, 5),
            "bpp": round(sum(r.rate_bpp for r in self._recent) / count, 4),
            "psnr_db": round(10 * math.log10(255**2 * count / sum(r.mse for r in self._recent)), 3),
        } | usage_figures([r.usage for r in self._recent if r.usage is not None])
        self._recent.clear()
        self.state.progress.log.append(entry)
        bar.set_postfix({k: v for k, v in entry.items() if k not in ("step", "seconds")}, refresh=False)

    def between(self) -> None:
        """Validate if it is time to."""
        settings, progress = self.state.settings, self.state.progress
        if progress.seconds - self._validated < 60 * settings.validation_minutes:
            return
        started = time.monotonic()
        with self.state.average.applied():
            figures = validate(self.state, self.training, self.validation)
        # The time of a validation counts, but not towards the next one.
        self._validated = progress.seconds + time.monotonic() - started
        progress.log.append({"step": progress.step, "validation": figures})
        tqdm.write(f"step {progress.step}, real files of held-out pictures: {figures}", file=sys.stderr)
