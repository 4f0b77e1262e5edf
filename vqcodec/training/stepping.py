"""What the loop needs to know of a run, and what runs draw and anneal alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from vqcodec.networks.base import Network
from vqcodec.training import checkpoint


@dataclass
class Progress:
    """How far a run is: steps and seconds that it took, its stage if it has any, steps by stage, and the log so far."""

    step: int = 0
    seconds: float = 0.0
    stage: str = ""
    taken: dict[str, int] = field(default_factory=dict)
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
    """What the loop trains: a network, by one optimizer whose groups have learning rates of `base_rates` at most."""

    progress: Progress
    base_rates: list[float]

    @property
    def network(self) -> Network:
        """Analysis and synthesis."""

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Of all that learns along the loss."""

    @property
    def settings(self) -> Length:
        """The settings of the run."""


def qualities(numbers: np.random.Generator, count: int, low_rates: float) -> npt.NDArray[np.float64]:
    """Return `count` random qualities 1 + 99 u^low_rates, u even in 0..1."""
    # A power above 1 draws low qualities more often.
    drawn: npt.NDArray[np.float64] = 1 + 99 * numbers.random(count) ** low_rates
    return drawn


def cosine(position: float, final: float) -> float:
    """Return the share of the learning rate at a position 0..1 of an annealing along half a cosine, 1 to `final`."""
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, position))))
