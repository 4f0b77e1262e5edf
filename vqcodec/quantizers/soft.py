"""Soft assignment: a feature belongs to every codevector with a probability that falls with its distance.

Features x float32 [N, d_star], codebook [K, d_star]. The posterior of x is softmax(-precision * ||x - c||^2)
over the codevectors c, with a scalar precision; what it gives is computed in posterior.py.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from vqcodec.errors import SettingsError
from vqcodec.quantizers.base import Learned, Quantized, check_finite
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.quantizers.learning.noise import StepNoise
from vqcodec.quantizers.learning.posterior import Nearest, Result, Sample, together


class SoftQuantizer(Learned):
    """A codebook that learns through samples of the posteriors, which a falling temperature hardens.

    Training hands on a sample, or the codevectors of given indices, with gradients to codevectors and features.
    Indices are those of the nearest codevectors all the time. `measure` is what the loss is made from.
    """

    measure: ClassVar[Result]
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
        # As large as normalized latents: the posteriors of a tiny codebook are uniform, and say nothing.
        torch.nn.init.normal_(self.codebook)

    def advance(self, fraction: float) -> None:
        """Lower the temperature exponentially from `start` at 0 to `end` at 1."""
        self.temperature.fill_(self.start * (self.end / self.start) ** fraction)

    def forward(self, z: Tensor, indices: Tensor | None = None) -> Quantized:
        """Quantize z [B, d, h, w]; in training z_q is a sample unless `indices` say what it is."""
        if not self.training:
            return super().forward(z, indices)
        if indices is None:
            quantized = self._draw(z)
        else:
            z_q = self.decode(indices) + z - z.detach()
            quantized = super().forward(z, indices)._replace(z_q=z_q)
        self.noise.advance()
        return quantized

    def loss(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return the loss of the posteriors of z; nothing is sampled, and z_q learns from what follows it."""
        return self.loss_of(self._posteriors(z, self.measure)[0])

    @abstractmethod
    def precision(self) -> Tensor:
        """Return the scalar that multiplies squared distances in the logits of a posterior."""

    @abstractmethod
    def loss_of(self, measures: Tensor) -> Tensor:
        """Return the scalar that training adds for what `measure` finds of each posterior, float32 [N]."""

    def _draw(self, z: Tensor) -> Quantized:
        check_finite(z)
        # A copy: advance() must not change what the backward pass computes anew.
        sample = Sample(self.temperature.clone(), self.hard, self.noise.seed())
        nearest, z_q, measures = self._posteriors(z, Nearest(), sample, self.measure)
        grid = z.movedim(1, -1).shape
        indices = nearest.view(grid[:-1]).unsqueeze(1)
        return Quantized(z_q.view(grid).movedim(-1, 1), indices, self.loss_of(measures), self.usage_of(indices))

    def _posteriors(self, z: Tensor, *results: Result) -> tuple[Tensor, ...]:
        x = z.movedim(1, -1).reshape(-1, self.d_star)
        return together(results, x, self.codebook, self.precision())
