"""What unused codevectors move to: CVQ-VAE section 3.2, "Choice of the anchors".

Features are looked at through a sample of at most LIMIT of them, so that anchors cost little next to the
search for the nearest codevectors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.quantizers.layout import assignment, matching
from vqcodec.quantizers.layout.matching import Match
from vqcodec.quantizers.learning.noise import StepNoise

Anchor = Literal["closest", "random", "unique", "probrandom"]
LIMIT = 4096
# The golden ratio's fraction: multiples of it are spread as evenly as any sequence of one number can be.
_GOLDEN = 0.6180339887498949


class Features:
    """The units of latents z [B, d, h, w] as vectors [N, d_star], of which only those asked for are copied."""

    def __init__(self, z: Tensor, d_star: int) -> None:
        batch, d, height, width = z.shape
        self._grid = z.reshape(batch, d // d_star, d_star, height * width)

    def __len__(self) -> int:
        return self._grid.numel() // self._grid.shape[2]

    def __getitem__(self, numbers: Tensor) -> Tensor:
        """Return the vectors [n, d_star] of numbers int64 [n]."""
        _, units, _, places = self._grid.shape
        rest = numbers.div(places, rounding_mode="floor")
        item = rest.div(units, rounding_mode="floor")
        vectors: Tensor = self._grid[item, rest % units, :, numbers % places]
        return vectors

    def sample(self, limit: int) -> Tensor:
        """Return at most `limit` different vectors, one from each stretch of equal length.

        Where in a stretch varies, since vectors at even distances might all be of one unit or one column.
        """
        count = min(limit, len(self))
        stretch, number = len(self) // count, torch.arange(count, dtype=torch.float64)
        numbers = number * stretch + (number * _GOLDEN % 1 * stretch).floor()
        return self[numbers.long().to(self._grid.device)]


def similarity(codevectors: Tensor, features: Tensor, match: Match) -> Tensor:
    """Return float32 [k, n]: the cosine of codevectors [k, d_star] and features [n, d_star], or minus ||c - z||^2."""
    if match == "cosine":
        return F.normalize(codevectors, dim=1) @ F.normalize(features, dim=1).t()
    squares = codevectors.square().sum(1, keepdim=True) + features.square().sum(1)
    return 2 * codevectors @ features.t() - squares


class Anchors(nn.Module, ABC):
    """Base class: chooses a feature for each codevector that moves."""

    def see(self, features: Features) -> None:
        """Take note of a batch's features."""

    @abstractmethod
    def choose(self, codevectors: Tensor, places: Tensor, features: Features) -> Tensor:
        """Return anchors [k, d_star] for codevectors [k, d_star] that have the places int64 [k] in the codebook."""


class Closest(Anchors):
    """The most similar feature of the batch, the published default."""

    def __init__(self, match: Match) -> None:
        super().__init__()
        self.match = match

    def choose(self, codevectors: Tensor, places: Tensor, features: Features) -> Tensor:
        """Return the most similar of the sampled features; codevectors may share one."""
        sample = features.sample(LIMIT)
        _, index = assignment.assign(codevectors.unsqueeze(0), matching.candidates(sample, self.match))
        return sample[index[0]]


class Drawn(Anchors):
    """Base class of those that draw."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = StepNoise()

    def generator(self, device: torch.device) -> torch.Generator:
        """Return this step's generator and go on to the next step."""
        generator = torch.Generator(device).manual_seed(self.noise.seed())
        self.noise.advance()
        return generator


class Unique(Drawn):
    """Random features of the batch without repetition, if there are enough."""

    def choose(self, codevectors: Tensor, places: Tensor, features: Features) -> Tensor:
        """Return the first of the sampled features in random order."""
        sample = features.sample(max(LIMIT, len(codevectors)))
        order = torch.randperm(len(sample), generator=self.generator(sample.device), device=sample.device)
        return sample[order[torch.arange(len(codevectors), device=sample.device) % len(order)]]


class ProbRandom(Drawn):
    """A random feature of the batch, with probabilities that are a softmax of the similarities."""

    def __init__(self, match: Match) -> None:
        super().__init__()
        self.match = match

    def choose(self, codevectors: Tensor, places: Tensor, features: Features) -> Tensor:
        """Return one of the sampled features for each codevector."""
        sample = features.sample(LIMIT)
        generator = self.generator(sample.device)
        index = [
            torch.multinomial(similarity(block, sample, self.match).softmax(1), 1, generator=generator)
            for block in torch.split(codevectors, max(1, assignment.BUDGET_VALUES // len(sample)))
        ]
        return sample[torch.cat(index)[:, 0]]


class Pooled(Drawn):
    """A random feature, from a pool [K, d_star] that new features enter in random places."""

    pool: Tensor
    filled: Tensor

    def __init__(self, K: int, d_star: int) -> None:
        super().__init__()
        self.register_buffer("pool", torch.zeros(K, d_star))
        self.register_buffer("filled", torch.zeros((), dtype=torch.bool))

    def see(self, features: Features) -> None:
        """Let at most K of the features into the pool; the first ones fill it."""
        sample, device = features.sample(len(self.pool)), self.pool.device
        order = torch.randperm(len(self.pool), generator=self.generator(device), device=device)
        if self.filled:
            order = order[: len(sample)]
        self.pool[order] = sample[torch.arange(len(order), device=device) % len(sample)]
        self.filled.fill_(True)

    def choose(self, codevectors: Tensor, places: Tensor, features: Features) -> Tensor:
        """Return what is in the pool at the codevectors' places."""
        return self.pool[places]


def build(anchor: Anchor, K: int, d_star: int, match: Match) -> Anchors:
    """Return new anchors for a codebook [K, d_star]."""
    if anchor == "closest":
        return Closest(match)
    if anchor == "probrandom":
        return ProbRandom(match)
    return Unique() if anchor == "unique" else Pooled(K, d_star)
