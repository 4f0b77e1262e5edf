"""The contract of a rate: what latents cost under one prior while a run lasts, and what they become.

A rate owns the tables of its prior and the networks that predict them. A run asks it for what the synthesis sees, and
has it start before the first indices and finish before the synthesis learns alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vqcodec.exact.model_file import Arrays, Metadata
from vqcodec.networks import RatedNetwork
from vqcodec.quantizers import Learned, QuantizerSettings
from vqcodec.training.pictures.augmentation import Augmentation
from vqcodec.training.pictures.picture_set import PictureSet
from vqcodec.training.rate.context_net import ContextNet
from vqcodec.training.rate.density import ClassDensity

Quantize = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Latents [B, d, h, w] -> what the decoder would have of them, and their bits [B]."""
Refine = Callable[[Tensor, Tensor, Tensor, Quantize], Tensor]
"""Pictures [B, 3, H, W], their latents [B, d, h, w], qualities [B] and Quantize -> latents to be quantized."""


class Seen(NamedTuple):
    """Latents z_q [B, d, h, w] for the synthesis, their differentiable rate and their counted bits, each [B].

    `loss` is the quantizer's own, a scalar, and `usage` [K] the share of each codevector, None before there are any.
    `steps` [B, d, h, w] is how many steps of its place a latent's step holds, None where all hold one.
    """

    z_q: Tensor
    rate: Tensor
    bits: Tensor
    loss: Tensor
    usage: Tensor | None
    steps: Tensor | None = None


@dataclass(frozen=True)
class Source:
    """What tables are fitted on: `count` random crops of training pictures at a time, as the encoder sends them."""

    network: RatedNetwork
    pictures: PictureSet
    seed: int
    crop: int
    augmentation: Augmentation
    count: int
    refine: Refine

    def numbers(self, *key: int) -> np.random.Generator:
        """Return random numbers, the same for the same key."""
        return np.random.default_rng((self.seed, *key))

    def crops(self, numbers: np.random.Generator, count: int) -> Tensor:
        """Return random crops float32 [count, 3, H, W] in [0, 1]."""
        return self.pictures.crops(numbers, count, self.crop, self.augmentation)


@dataclass(frozen=True)
class TableForm:
    """How many tables a prior has: rows of qualities, position classes, different tables, and bits of a frequency.

    `spacing` is the distance between codevectors before any has learned, in steps.
    """

    rows: int
    classes: int
    count: int
    bits: int
    spacing: float


@dataclass(frozen=True)
class Base:
    """What every rate of a run stands on; the density is that of the noise which any run begins with."""

    network: RatedNetwork
    quantizer: Learned
    density: ClassDensity
    form: TableForm


class Parts(NamedTuple):
    """What a model holds of a rate: codebook [K, d_star], tensors by name, the prior's settings if it has any."""

    codebook: Tensor
    arrays: Arrays
    settings: dict[str, Any]


class Rate(ABC):
    """One prior of a run.

    `kind` is that of its prior. `networks` predict and learn, first in a stage of their own, if it `has_networks`.
    `codebook_learns` and `gains_learn` say what else does while indices are in the loop. `wide_share` of the units are
    wide at depth 2, and a coarse scale has `scale_digits` decimals, unless a run says otherwise.
    """

    kind: ClassVar[str]
    has_networks: ClassVar[bool] = False
    wide_share: ClassVar[float] = 0.3
    scale_digits: ClassVar[int] = 1
    networks: tuple[ContextNet, ...] = ()
    codebook_learns = gains_learn = True

    def __init__(self, base: Base) -> None:
        self.network, self.quantizer, self.density, self.form = base.network, base.quantizer, base.density, base.form

    @classmethod
    def of(cls, base: Base, settings: Any) -> Rate:
        """Return the rate of a run with these settings."""
        return cls(base)

    @classmethod
    @abstractmethod
    def check(cls, quantizer: QuantizerSettings) -> None:
        """Raise SettingsError for a quantizer that the prior cannot have."""

    @abstractmethod
    def start(self, source: Source) -> None:
        """Make codebook and first tables, before the first indices."""

    def settle(self, source: Source) -> None:  # noqa: B027
        """Take note of what the networks have learned alone, before they learn with all the others."""

    def unsettle(self) -> None:  # noqa: B027
        """Forget what followed from gains that are no more."""

    def finest_steps(self) -> Tensor | float:
        """Return how many steps one of the gains' may hold, [d, 1, 1] or for all channels."""
        return 1.0

    @abstractmethod
    def finish(self, source: Source) -> None:
        """Fit the last tables to what the encoder does, before the synthesis learns alone."""

    @abstractmethod
    def seen(self, x: Tensor, quality: Tensor, noise: torch.Generator | None) -> Seen:
        """Return what the synthesis sees of pictures x [B, 3, H, W] at qualities [B], with gradients."""

    @abstractmethod
    def sent(self, x: Tensor, quality: Tensor, refine: Refine) -> Seen:
        """Return what the decoder would have of x [B, 3, H, W] at qualities [B], proximal steps and all."""

    @abstractmethod
    def parts(self, source: Source, finished: bool) -> Parts:
        """Return what a model holds; where the rate is not finished, with tables fitted for it alone."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return the keys of a checkpoint that are this rate's."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over its keys of a checkpoint."""

    def round(self, integer: bool) -> None:
        """Let the networks compute as the integer networks of a file do, or not."""
        for net in self.networks:
            net.integer = integer

    @abstractmethod
    def take_over(self, metadata: Metadata, arrays: Arrays) -> None:
        """Begin with what a model has of such a prior, if it has one; SettingsError where it does not fit."""

    @property
    def trained(self) -> tuple[ContextNet, ...]:
        """The networks, if they come from a model."""
        return ()
