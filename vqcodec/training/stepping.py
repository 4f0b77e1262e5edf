"""What all training loops have in common: steps until the run is over, Ctrl-C between them, checkpoints."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from vqcodec.training import checkpoint
from vqcodec.training.interrupt import Interrupt, interrupt_flag


@dataclass
class Progress:
    """How far a run is: steps taken, seconds of training, the stage where it has any, and the log so far."""

    step: int = 0
    seconds: float = 0.0
    stage: str = ""
    log: list[dict[str, Any]] = field(default_factory=list)


class Length(checkpoint.Settings, Protocol):
    """The settings that a loop needs: how long it goes on, in steps or else seconds, and how often it saves."""

    @property
    def name(self) -> str:
        """What the progress bar says."""

    @property
    def steps(self) -> int:
        """Steps, or 0."""

    @property
    def seconds(self) -> float:
        """Seconds where there are no steps."""

    @property
    def checkpoint_minutes(self) -> float:
        """Minutes between checkpoints."""


class Stepped(checkpoint.Run, Protocol):
    """What a loop trains."""

    progress: Progress

    @property
    def settings(self) -> Length:
        """The settings of the run."""


S = TypeVar("S", bound=Stepped)


class StepTrainer(ABC, Generic[S]):
    """Takes steps until the run is over. A subclass says what one is."""

    def __init__(self, state: S, checkpoint_path: Path) -> None:
        self.state, self.checkpoint_path = state, checkpoint_path
        self._saved = state.progress.seconds
        self._interrupt = Interrupt()

    def run(self, stop_after: int | None = None) -> bool:
        """Train to the end and return True, or return False after `stop_after` steps or on Ctrl-C; saves either way."""
        try:
            with interrupt_flag(self._interrupt) as interrupted:
                finished = self._run(stop_after, interrupted)
        except KeyboardInterrupt:
            return False  # from the middle of a step or of long work: the checkpoint before it counts
        checkpoint.save(self.checkpoint_path, self.state)
        return finished

    @contextmanager
    def long_work(self) -> Iterator[None]:
        """Save what is whole, then let Ctrl-C end the run at once instead of after the step."""
        checkpoint.save(self.checkpoint_path, self.state)
        with self._interrupt.at_once():
            yield

    def fraction(self) -> float:
        """How much of the run is done, 0..1, in steps or in seconds."""
        settings, progress = self.state.settings, self.state.progress
        return progress.step / settings.steps if settings.steps else progress.seconds / settings.seconds

    @abstractmethod
    def step(self, bar: tqdm[None]) -> None:
        """Take one step, and count it in the progress."""

    def start(self) -> None:
        """Do what comes before the first step; its time does not count."""

    def between(self) -> None:
        """Do what is due between steps; its time counts."""

    def _run(self, stop_after: int | None, interrupted: Callable[[], bool]) -> bool:
        settings, progress = self.state.settings, self.state.progress
        if progress.step == 0:
            with self.long_work():
                self.start()
            checkpoint.save(self.checkpoint_path, self.state)
        with tqdm(
            total=settings.steps or None, initial=progress.step, unit="step", desc=settings.name, disable=None
        ) as bar:
            while self.fraction() < 1:
                if interrupted() or (stop_after is not None and progress.step >= stop_after):
                    return False
                self._count(self.step, bar)
                bar.update()
                self._count(self.between)
                if progress.seconds - self._saved >= 60 * settings.checkpoint_minutes:
                    self._saved = progress.seconds
                    checkpoint.save(self.checkpoint_path, self.state)
        return True

    def _count(self, work: Callable[..., None], *values: Any) -> None:
        started = time.monotonic()
        work(*values)
        self.state.progress.seconds += time.monotonic() - started


def qualities(numbers: np.random.Generator, count: int, low_rates: float) -> npt.NDArray[np.float64]:
    """Return `count` random qualities 1 + 99 u^low_rates, u even in 0..1."""
    drawn: npt.NDArray[np.float64] = 1 + 99 * numbers.random(count) ** low_rates
    return drawn


def cosine(position: float, final: float) -> float:
    """Return the share of the learning rate at a position 0..1 of an annealing along half a cosine, 1 to `final`."""
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, position))))
