"""A stage of a run, as data: what the synthesis sees, what its pictures are worth, what learns, and how fast."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from vqcodec import ranks


class Batch(NamedTuple):
    """Pictures x float32 [B, 3, H, W] in [0, 1] of a step, their qualities [B], and where noise comes from."""

    x: Tensor
    quality: Tensor
    noise: torch.Generator | None = None

    def part(self) -> Batch:
        """Return this process's part of the batch."""
        return self._replace(x=ranks.part(self.x), quality=ranks.part(self.quality))


class Loss(NamedTuple):
    """What a step descends along, a scalar; `value` is its number, and `figures` by name go to the log.

    `figures` have the error `mse` of pixels in 0..1; `usage` [K] is the share of each codevector.
    """

    total: Tensor
    value: float
    figures: dict[str, float]
    usage: Tensor | None = None


class Latents(Protocol):
    """What a path gives to the synthesis."""

    @property
    def z_q(self) -> Tensor:
        """Latents [B, d, h, w]."""


S = TypeVar("S", bound=Latents)


def _nothing(*_: object) -> None:
    pass


def _no_figures(*_: object) -> dict[str, float]:
    return {}


@dataclass(frozen=True)
class Stage(Generic[S]):
    """What a run does until the fraction `until` of it, 0..1; the last stage has no end.

    path: batch -> what the synthesis sees; loss: batch, pictures [B, 3, H, W] and that -> Loss; rate: fraction of the
    run -> factor of the learning rates. `begin` is called once, `learn` whenever the stage begins or goes on, `advance`
    with the fraction before each step, and `after` with batch and pictures behind it, for figures of its own.
    """

    name: str
    path: Callable[[Batch], S]
    loss: Callable[[Batch, Tensor, S], Loss]
    rate: Callable[[float], float]
    until: float = math.inf
    begin: Callable[[], None] = _nothing
    learn: Callable[[], None] = _nothing
    advance: Callable[[float], None] = _nothing
    after: Callable[[Batch, Tensor], dict[str, float]] = _no_figures
