"""The loop of every run: stage, batch, path, synthesis, loss, backward, clip, step, log; checkpoints between steps."""

from __future__ import annotations

import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vqcodec import ranks
from vqcodec.errors import InputError
from vqcodec.training import checkpoint
from vqcodec.training.health import check_loss
from vqcodec.training.interrupt import Interrupt, interrupt_flag
from vqcodec.training.length import Mean, cut_note
from vqcodec.training.stage import Batch, Loss, Stage
from vqcodec.training.stepping import Stepped
from vqcodec.training.usage import usage_figures

R = TypeVar("R", bound=Stepped)
# What follows the last step may take no more of a short time: a model needs steps above all.
_MOST_AFTER = 0.4


class Trainer(ABC, Generic[R]):
    """Runs stages until the run is over; a subclass says which, and what a batch is.

    work_after: what is to be done after the last step, in steps that take as long; a time is kept free for it.
    follower: is shown every entry of the log.
    """

    log_steps = 20
    work_after = 0.0
    follower: Callable[[dict[str, Any]], None] | None = None

    def __init__(self, state: R, checkpoint_path: Path) -> None:
        self.state, self.checkpoint_path = state, checkpoint_path
        self._saved = state.progress.seconds
        self._interrupt = Interrupt()
        self._told = False
        self.stages = {stage.name: stage for stage in self.make_stages()}
        # A run that has not begun may have no stage yet.
        self.stage = self.stages.get(state.progress.stage, next(iter(self.stages.values())))
        self.stage.learn()
        self._recent: list[Loss] = []
        self._step_seconds = Mean()

    def run(self, stop_after: int | None = None) -> bool:
        """Train to the end and return True, or return False after `stop_after` steps or on Ctrl-C; saves either way."""
        try:
            with interrupt_flag(self._interrupt) as interrupted:
                finished = self._run(stop_after, interrupted)
        except KeyboardInterrupt:
            return False  # from the middle of a step or of long work: the checkpoint before it counts
        except InputError:
            self._save()  # a batch could not be read: the steps before it are whole
            raise
        self._save()
        if finished and not self.state.settings.steps:
            said = cut_note(list(self.stages.values()), self.state.progress.taken)
            if said:
                tqdm.write(said, file=sys.stderr)
        return finished

    @contextmanager
    def long_work(self) -> Iterator[None]:
        """Save what is whole, then let Ctrl-C end the run at once instead of after the step."""
        self._save()
        with self._interrupt.at_once():
            yield

    def fraction(self) -> float:
        """How much of the run is done, 0..1, in steps or in seconds."""
        settings, progress = self.state.settings, self.state.progress
        if settings.steps:
            return progress.step / settings.steps
        after = min(_MOST_AFTER * settings.seconds, self.work_after * self._step_seconds.value)
        return progress.seconds / (settings.seconds - after)

    @abstractmethod
    def make_stages(self) -> list[Stage[Any]]:
        """Return the stages in their order."""

    @abstractmethod
    def batch(self) -> Batch:
        """Return the batch of the next step, the same for the same step."""

    def start(self) -> None:
        """Do what comes before the first step; its time counts."""

    def between(self) -> None:
        """Do what is due between steps; its time counts."""

    def clip(self) -> None:
        """Limit gradients."""

    def add(self, entry: dict[str, Any]) -> None:
        """Add an entry, which has its step, to the log."""
        self.state.progress.log.append(entry)
        if self.follower:
            self.follower(entry)

    def noted(self, entry: dict[str, Any]) -> None:
        """Do what is due when an entry has been added to the log."""

    def step(self, bar: tqdm[None]) -> None:
        """Take one step of the stage that it is time for."""
        state, fraction = self.state, self.fraction()
        self._enter(fraction)
        started = time.monotonic()
        self.stage.advance(fraction)
        self.set_rates(fraction)
        batch = self._drawn().part()
        loss, y = self.shown(batch)
        loss = _of_all(loss)
        # Before the gradient: a step along a loss that is no number would spoil the last good weights.
        check_loss(loss.value, state.progress.step + 1, state.base_rates[0])
        state.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]
        ranks.average_gradients(p for group in state.optimizer.param_groups for p in group["params"])
        self.clip()
        state.optimizer.step()
        more = self.stage.after(batch, y.detach())
        state.progress.step += 1
        state.progress.taken[self.stage.name] = state.progress.taken.get(self.stage.name, 0) + 1
        self._step_seconds.add(time.monotonic() - started)
        self._log(bar, loss._replace(figures=loss.figures | more))

    def _drawn(self) -> Batch:
        """Return the step's batch; InputError in all processes where one cannot read its pictures."""
        batch, said = None, ""
        try:
            batch = self.batch()
        except InputError as error:
            said = str(error)
        if said := ranks.first_said(said):
            raise InputError(said)
        assert batch is not None
        return batch

    def shown(self, batch: Batch) -> tuple[Loss, Tensor]:
        """Return the loss of a batch in the present stage, and the pictures [B, 3, H, W] that the synthesis shows."""
        seen = self.stage.path(batch)
        y: Tensor = self.state.network.synthesis(seen.z_q, batch.quality)
        return self.stage.loss(batch, y, seen), y

    def set_rates(self, fraction: float) -> None:
        """Set the learning rates for a fraction of the run, 0..1."""
        factor = self.stage.rate(fraction)
        for group, rate in zip(self.state.optimizer.param_groups, self.state.base_rates, strict=True):
            group["lr"] = rate * factor

    def _run(self, stop_after: int | None, interrupted: Callable[[], bool]) -> bool:
        state, settings = self.state, self.state.settings
        if state.progress.step == 0:
            self._count(self._once, self.start)
            self._save()
        with tqdm(
            total=settings.steps or None, initial=state.progress.step, unit="step", desc=settings.name, disable=None
        ) as bar:
            while self.fraction() < 1:
                told = self._told if ranks.count() > 1 else interrupted()
                if told or (stop_after is not None and state.progress.step >= stop_after):
                    return False
                self._count(self.step, bar)
                bar.update()
                if ranks.is_first():
                    self._count(self.between)
                self._agree()
                if state.progress.seconds - self._saved >= 60 * settings.checkpoint_minutes:
                    self._saved = state.progress.seconds
                    self._save()
        return True

    def _save(self) -> None:
        if ranks.is_first():
            checkpoint.save(self.checkpoint_path, self.state)

    def _once(self, work: Callable[[], None]) -> None:
        """Do long work; in one process, whose state the others take over, since theirs might differ in a bit."""
        with self.long_work():
            if ranks.is_first():
                work()
            if ranks.count() > 1:
                self.state.load_state_dict(ranks.from_first(self.state.state_dict))

    def _agree(self) -> None:
        """Count one process's seconds in all of them, and stop all of them where one was told to."""
        counted = ranks.from_first(lambda: (self.state.progress.seconds, self._step_seconds))
        self.state.progress.seconds, self._step_seconds = counted
        self._told = bool(ranks.mean(torch.tensor(float(self._interrupt.pressed))))

    def _count(self, work: Callable[..., None], *values: Any) -> None:
        started = time.monotonic()
        work(*values)
        self.state.progress.seconds += time.monotonic() - started

    def _enter(self, fraction: float) -> None:
        following = iter(list(self.stages.values())[list(self.stages).index(self.stage.name) + 1 :])
        while fraction >= self.stage.until:
            self.stage = next(following)
            self._once(self.stage.begin)
            self.stage.learn()
            self.state.progress.stage = self.stage.name

    def _log(self, bar: tqdm[None], loss: Loss) -> None:
        self._recent.append(loss._replace(total=loss.total.detach()))
        progress = self.state.progress
        if progress.step % self.log_steps:
            return
        figures = [each.figures for each in self._recent]
        means = {name: float(np.mean([f[name] for f in figures if name in f])) for name in loss.figures}
        psnr = -10 * math.log10(max(means.pop("mse"), 1e-12))
        entry: dict[str, Any] = {"step": progress.step, "stage": self.stage.name}
        entry |= {"seconds": round(progress.seconds, 1), "psnr_db": round(psnr, 3)}
        entry |= {name: round(value, 5) for name, value in means.items()}
        entry |= usage_figures([each.usage for each in self._recent if each.usage is not None])
        self._recent.clear()
        self.add(entry)
        self.noted(entry)
        bar.set_postfix({k: v for k, v in entry.items() if k not in ("step", "seconds")}, refresh=False)


def _of_all(loss: Loss) -> Loss:
    """Return a loss with the numbers that all processes have on average; what a step descends along stays its own."""
    if ranks.count() == 1:
        return loss
    numbers = ranks.mean(torch.tensor([loss.value, *loss.figures.values()], dtype=torch.float64)).tolist()
    figures = dict(zip(loss.figures, numbers[1:], strict=True))
    usage = None if loss.usage is None else ranks.mean(loss.usage)
    return loss._replace(value=numbers[0], figures=figures, usage=usage)
