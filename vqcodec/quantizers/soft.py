"""Soft assignment: a feature belongs to every codevector with a probability that falls with its distance.

Features x float32 [N, d_star], codebook [K, d_star]. The posterior of x is softmax(-precision * ||x - c||^2)
over the codevectors c, with a scalar precision. Rows are taken in blocks that keep each [rows, K]
within assignment.BUDGET_VALUES, and the backward pass computes a block anew instead of keeping it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vqcodec.errors import SettingsError
from vqcodec.quantizers import assignment
from vqcodec.quantizers.base import Learned, Quantized
from vqcodec.quantizers.noise import StepNoise, gumbel
from vqcodec.quantizers.settings import QuantizerSettings

# A weight of exp(-60) is lost beside 1 in float32; below exp(-87) processors compute many times slower.
_LEAST_LOG_WEIGHT = -60.0
_Block = Callable[[Tensor, Tensor, Tensor, int], Tensor]


def divergence(x: Tensor, codebook: Tensor, precision: Tensor) -> Tensor:
    """Return float32 [N] in nats, the Kullback-Leibler divergence of each posterior from the uniform distribution."""

    def block(x: Tensor, codebook: Tensor, precision: Tensor, start: int) -> Tensor:
        logs = _floored(_logits(x, codebook, precision)).log_softmax(1)
        return (logs.exp() * logs).sum(1) + math.log(len(codebook))

    return _in_blocks(block, x, codebook, precision)


def free_energy(x: Tensor, codebook: Tensor, precision: Tensor) -> Tensor:
    """Return float32 [N] in nats: precision * ||x - c||^2 as the posterior expects it, plus its divergence.

    The sum of the two is -log(mean of exp(-precision * ||x - c||^2) over the codevectors).
    """

    def block(x: Tensor, codebook: Tensor, precision: Tensor, start: int) -> Tensor:
        return math.log(len(codebook)) - _floored(_logits(x, codebook, precision)).logsumexp(1)

    return _in_blocks(block, x, codebook, precision)


def sample(x: Tensor, codebook: Tensor, precision: Tensor, temperature: Tensor, hard: bool, seed: int) -> Tensor:
    """Return float32 [N, d_star]: codevectors mixed by softmax((log posterior + Gumbel noise) / temperature).

    With `hard` it is the one codevector of the largest weight; gradients reach the weights all the same
    (Jang et al. 2017, section 2.2). Where blocks begin depends on the budget alone, and so does the noise.
    """

    def block(x: Tensor, codebook: Tensor, precision: Tensor, start: int) -> Tensor:
        noise = gumbel(len(x), len(codebook), seed + start, x.device)
        weights = _floored((_logits(x, codebook, precision) + noise) / temperature).softmax(1)
        if not hard:
            return weights @ codebook
        mixed = weights @ codebook.detach()
        return codebook[weights.argmax(1)] + mixed - mixed.detach()

    return _in_blocks(block, x, codebook, precision)


class SoftQuantizer(Learned):
    """A codebook that learns through samples of the posteriors, which a falling temperature hardens.

    Training hands on a sample, or the codevectors of given indices, with gradients to codevectors and features.
    Indices are those of the nearest codevectors all the time.
    """

    temperature: Tensor
    hard = False

    def __init__(self, settings: QuantizerSettings, start: float, end: float) -> None:
        super().__init__(settings)
        if not 0 < end <= start:
            raise SettingsError(
                f"the temperatures of quantizer {settings.name!r} go from start={start:g} to end={end:g}; "
                "choose 0 < end <= start"
            )
        self.start, self.end = start, end
        self.noise = StepNoise()
        self.register_buffer("temperature", torch.tensor(start))
        torch.nn.init.normal_(self.codebook)

    def advance(self, fraction: float) -> None:
        """Lower the temperature exponentially from `start` at 0 to `end` at 1."""
        self.temperature.fill_(self.start * (self.end / self.start) ** fraction)

    def forward(self, z: Tensor, indices: Tensor | None = None) -> Quantized:
        """Quantise z [B, d, h, w]; in training z_q is a sample unless `indices` say what it is."""
        quantized = super().forward(z, indices)
        if not self.training:
            return quantized
        z_q = self._sample(z) if indices is None else self.decode(indices) + z - z.detach()
        self.noise.advance()
        return quantized._replace(z_q=z_q)

    @abstractmethod
    def precision(self) -> Tensor:
        """Return the scalar that multiplies squared distances in the logits of a posterior."""

    def features(self, z: Tensor) -> Tensor:
        """Return the vectors [N, d_star] of z [B, d, h, w]."""
        return z.movedim(1, -1).reshape(-1, self.d_star)

    def _sample(self, z: Tensor) -> Tensor:
        # A copy: advance() must not change what the backward pass computes anew.
        temperature = self.temperature.clone()
        z_q = sample(self.features(z), self.codebook, self.precision(), temperature, self.hard, self.noise.seed())
        return z_q.reshape(z.movedim(1, -1).shape).movedim(-1, 1)


class _Blockwise(torch.autograd.Function):
    """Computes rows block by block, and again for their gradients.

    Nothing but results outlives a block: what torch's checkpoint keeps of each, small as it is, falls between the
    large tensors and makes the memory that the process holds grow with N * K after all.
    """

    @staticmethod
    def forward(ctx: Any, block: _Block, x: Tensor, codebook: Tensor, precision: Tensor) -> Tensor:
        """Return block(...) of all rows [N, ...]."""
        ctx.save_for_backward(x, codebook, precision)
        ctx.block = block
        results: Tensor | None = None
        for part in _parts(x, codebook):
            result = block(x[part], codebook, precision, part.start)
            if results is None:
                results = result.new_empty(len(x), *result.shape[1:])
            results[part] = result
        assert results is not None
        return results

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients for x, codebook and precision."""
        x, codebook, precision = (tensor.detach().requires_grad_() for tensor in ctx.saved_tensors)
        totals = torch.empty_like(x), torch.zeros_like(codebook), torch.zeros_like(precision)
        for part in _parts(x, codebook):
            with torch.enable_grad():
                rows = x[part].detach().requires_grad_()
                result = ctx.block(rows, codebook, precision, part.start)
            found = torch.autograd.grad(result, (rows, codebook, precision), gradients[0][part])
            totals[0][part] = found[0]
            totals[1].add_(found[1])
            totals[2].add_(found[2])
        return None, *totals


def _parts(x: Tensor, codebook: Tensor) -> Iterator[slice]:
    rows = max(1, assignment.BUDGET_VALUES // len(codebook))
    return (slice(start, min(start + rows, len(x))) for start in range(0, len(x), rows))


def _in_blocks(block: _Block, x: Tensor, codebook: Tensor, precision: Tensor) -> Tensor:
    """Return block(some rows of x, codebook, precision, number of the first of them) for all rows."""
    result: Tensor = _Blockwise.apply(block, x, codebook, precision)  # type: ignore[no-untyped-call]
    return result


def _logits(x: Tensor, codebook: Tensor, precision: Tensor) -> Tensor:
    distances = torch.addmm(codebook.square().sum(1), x, codebook.t(), alpha=-2) + x.square().sum(1, keepdim=True)
    return -precision * distances


def _floored(logits: Tensor) -> Tensor:
    """Return logits [n, K] raised to at least _LEAST_LOG_WEIGHT from the largest of their row."""
    return torch.maximum(logits, logits.detach().amax(1, keepdim=True) + _LEAST_LOG_WEIGHT)
