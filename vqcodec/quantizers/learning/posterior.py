"""What the posteriors of features over the codevectors give: several results of one pass over the same logits.

Features x float32 [N, d_star], codebook [K, d_star]. The posterior of x is softmax(-precision * ||x - c||^2)
over the codevectors c, with a scalar precision. Rows are taken in blocks that keep each table [rows, K] within
assignment.BUDGET_VALUES. The backward pass computes a block's logits and noise anew instead of keeping them, and
has its formulas written out: autograd's would go through every table two or three times as often.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vqcodec.quantizers.layout import assignment
from vqcodec.quantizers.learning.noise import gumbel

# A weight of exp(-60) is lost beside 1 in float32; below exp(-87) processors compute many times slower.
_LEAST_LOG_WEIGHT = -60.0


class Block(NamedTuple):
    """Some rows and the codebook [K, d_star] that they share.

    start: the number of the first row; top [n, 1]: the largest logit of each; logits [n, K]: all of them less
    that, not to be changed; room: three more tables [n, K] to compute in.
    """

    start: int
    top: Tensor
    logits: Tensor
    room: tuple[Tensor, Tensor, Tensor]
    codebook: Tensor


class Result(ABC):
    """Something that each row's posterior gives, with its gradient."""

    @abstractmethod
    def of(self, block: Block) -> Tensor:
        """Return [n, ...] for the rows of a block."""

    @abstractmethod
    def pull_back(self, block: Block, gradient: Tensor, slopes: Tensor, codebook: Tensor) -> None:
        """Add what the gradient [n, ...] of the result means for the logits to `slopes` [n, K].

        What reaches the codevectors otherwise than through the logits is added to `codebook` [K, d_star].
        """


class Nearest(Result):
    """Indices int64 [n] of the largest logits, which are the nearest codevectors; the lowest of equal ones."""

    def of(self, block: Block) -> Tensor:
        """Return the indices."""
        return _first_of_largest(block.logits, 0.0, block.room[0])

    def pull_back(self, block: Block, gradient: Tensor, slopes: Tensor, codebook: Tensor) -> None:
        """Add nothing: indices have no gradient."""


class Divergence(Result):
    """float32 [n] in nats: the Kullback-Leibler divergence sum of p * log(K * p) from the uniform distribution."""

    def of(self, block: Block) -> Tensor:
        """Return the divergences."""
        logs, weights, sums = _posterior(block)
        expected = logs.mul_(weights).sum(1, keepdim=True) / sums
        return (expected - sums.log()).squeeze(1) + math.log(len(block.codebook))

    def pull_back(self, block: Block, gradient: Tensor, slopes: Tensor, codebook: Tensor) -> None:
        """Add gradient * p * (log p - sum of p * log p)."""
        logs, weights, sums = _posterior(block)
        expected = torch.mul(logs, weights, out=block.room[2]).sum(1, keepdim=True) / sums
        slopes.addcmul_(logs.sub_(expected).mul_(gradient.unsqueeze(1) / sums), weights)


class FreeEnergy(Result):
    """float32 [n] in nats: -log(mean of exp(logit)) over the codevectors."""

    def of(self, block: Block) -> Tensor:
        """Return the free energies."""
        _, _, sums = _posterior(block)
        return math.log(len(block.codebook)) - (block.top + sums.log()).squeeze(1)

    def pull_back(self, block: Block, gradient: Tensor, slopes: Tensor, codebook: Tensor) -> None:
        """Add -gradient * p."""
        _, weights, sums = _posterior(block)
        slopes.addcmul_(weights, -gradient.unsqueeze(1) / sums)


@dataclass(frozen=True)
class Sample(Result):
    """float32 [n, d_star]: codevectors mixed by weights w = softmax((logits + Gumbel noise) / temperature).

    Jang, Gu, Poole 2017: "Categorical Reparameterization with Gumbel-Softmax", equation 2. With `hard` it is
    the one codevector of the largest weight, and gradients reach the weights all the same (section 2.2).
    The noise depends on the seed and on where blocks begin, which depends on K, the budget and the kind of
    device alone.
    """

    temperature: Tensor
    hard: bool
    seed: int

    def of(self, block: Block) -> Tensor:
        """Return the samples."""
        weights, sums = self._weights(block)
        if self.hard:
            return block.codebook[self._chosen(weights, block)]
        return (weights @ block.codebook).div_(sums)

    def pull_back(self, block: Block, gradient: Tensor, slopes: Tensor, codebook: Tensor) -> None:
        """Add w * (g - sum of w * g) / temperature, where g are the products of the gradient and the codevectors."""
        weights, sums = self._weights(block)
        if self.hard:
            codebook.index_add_(0, self._chosen(weights, block), gradient)
        else:
            codebook.addmm_(weights.t(), gradient / sums)
        pulls = torch.mm(gradient / (sums * self.temperature), block.codebook.t(), out=block.room[1])
        expected = torch.mul(weights, pulls, out=block.room[2]).sum(1, keepdim=True) / sums
        slopes.addcmul_(pulls.sub_(expected), weights)

    def _weights(self, block: Block) -> tuple[Tensor, Tensor]:
        """Return the weights [n, K], of which the largest is 1, and their sums [n, 1]."""
        rows, columns = block.logits.shape
        noise = gumbel(rows, columns, self.seed + block.start, block.logits.device)
        logits = torch.add(block.logits, noise, out=block.room[0])
        logits.sub_(logits.amax(1, keepdim=True)).div_(self.temperature)
        weights = logits.clamp_(min=_LEAST_LOG_WEIGHT).exp_()
        return weights, weights.sum(1, keepdim=True)

    @staticmethod
    def _chosen(weights: Tensor, block: Block) -> Tensor:
        return _first_of_largest(weights, 1.0, block.room[1])


def together(results: tuple[Result, ...], x: Tensor, codebook: Tensor, precision: Tensor) -> tuple[Tensor, ...]:
    """Return each of the results for all rows: [N, ...], with gradients to x, codebook and precision."""
    squares = codebook.square().sum(1, keepdim=True)
    # [x, ||x||^2, 1] times this is -precision * ||x - c||^2, in one product.
    factor = precision * torch.cat([2 * codebook, -torch.ones_like(squares), -squares], 1)
    found: tuple[Tensor, ...] = _Together.apply(results, x, factor, codebook)  # type: ignore[no-untyped-call]
    return found


class _Together(torch.autograd.Function):
    """Computes rows block by block, and again for their gradients; nothing but results outlives a block."""

    @staticmethod
    def forward(
        ctx: Any, results: tuple[Result, ...], x: Tensor, factor: Tensor, codebook: Tensor
    ) -> tuple[Tensor, ...]:
        """Return each of the results [N, ...]."""
        ctx.save_for_backward(x, factor, codebook)
        ctx.results = results
        ctx.set_materialize_grads(False)
        found: list[Tensor] = []
        for _, block in _blocks(x, factor, codebook):
            values = [result.of(block) for result in results]
            found = found or [value.new_empty(len(x), *value.shape[1:]) for value in values]
            for whole, value in zip(found, values, strict=True):
                whole[block.start : block.start + len(value)] = value
        ctx.mark_non_differentiable(*(whole for whole in found if not whole.is_floating_point()))
        return tuple(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients for x, factor and codebook."""
        x, factor, codebook = ctx.saved_tensors
        totals = torch.empty_like(x), torch.zeros_like(factor), torch.zeros_like(codebook)
        slopes = _table(x, factor)
        for vectors, block in _blocks(x, factor, codebook):
            part = slice(block.start, block.start + len(vectors))
            down = slopes[: len(vectors)].zero_()
            for result, gradient in zip(ctx.results, gradients, strict=True):
                if gradient is not None:
                    result.pull_back(block, gradient[part], down, totals[2])
            inner = down @ factor
            torch.addcmul(inner[:, :-2], x[part], inner[:, -2:-1], value=2, out=totals[0][part])
            totals[1].addmm_(down.t(), vectors)
        return None, *totals


def _blocks(x: Tensor, factor: Tensor, codebook: Tensor) -> Iterator[tuple[Tensor, Block]]:
    """Yield [x, ||x||^2, 1] of some rows and the block of them; both are overwritten by the next."""
    logits, *room = (_table(x, factor) for _ in range(4))
    vectors = x.new_ones(len(logits), factor.shape[1])
    for start in range(0, len(x), len(logits)):
        rows = x[start : start + len(logits)]
        n = len(rows)
        vectors[:n, :-2] = rows
        vectors[:n, -2] = rows.square().sum(1)
        torch.mm(vectors[:n], factor.t(), out=logits[:n])
        top = logits[:n].amax(1, keepdim=True)
        yield vectors[:n], Block(start, top, logits[:n].sub_(top), (room[0][:n], room[1][:n], room[2][:n]), codebook)


def _table(x: Tensor, factor: Tensor) -> Tensor:
    rows = assignment.block_values(x.device) // len(factor)
    return x.new_empty(max(1, min(len(x), rows)), len(factor))


def _posterior(block: Block) -> tuple[Tensor, Tensor, Tensor]:
    """Return log weights and weights [n, K], of which the largest is 1, and the sums [n, 1] of the weights."""
    logs = torch.clamp(block.logits, min=_LEAST_LOG_WEIGHT, out=block.room[0])
    weights = torch.exp(logs, out=block.room[1])
    return logs, weights, weights.sum(1, keepdim=True)


def _first_of_largest(values: Tensor, largest: float, room: Tensor) -> Tensor:
    """Return the lowest index int64 [n] at which a row of values [n, K] is `largest`, as it is somewhere in each."""
    # Three simple passes take a fifth as long as torch's argmax.
    last = values.shape[1] - 1
    left = torch.arange(last, -1, -1, dtype=values.dtype, device=values.device)
    return last - torch.eq(values, largest, out=room).mul_(left).amax(1).long()
