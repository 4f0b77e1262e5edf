"""What a network of every rate has besides: gains, and weights of squared error, at knots of quality."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vqcodec.networks.base import Network

QUALITY_MIN, QUALITY_MAX = 1.0, 100.0
LAMBDAS = (0.0008, 0.0023, 0.0067, 0.0192, 0.0555, 1.28)
"""The weights of squared error at the knots of quality: even steps, and a large last one up to 46 dB and more."""


def position_of(quality: Tensor) -> Tensor:
    """Return where qualities [B] lie, 0 for the lowest to 1 for the highest."""
    return (quality - QUALITY_MIN) / (QUALITY_MAX - QUALITY_MIN)


def at_knots(values: Tensor, quality: Tensor) -> Tensor:
    """Return [B, n], the piecewise linear function of quality [B] with values [knots, n] at evenly spaced knots."""
    position = position_of(quality) * (len(values) - 1)
    lower = position.floor().clamp(0, len(values) - 2).long()
    return torch.lerp(values[lower], values[lower + 1], (position - lower)[:, None])


class Linear(NamedTuple):
    """A linear path beside all else, float32 [d, 3, stride, stride] each: from a block and back."""

    analysis: Tensor
    synthesis: Tensor


class RatedNetwork(Network):
    """A network whose latents are multiplied by a gain of the quality, so that 1 in a latent is one quantizer step.

    lambdas: the weights of squared error at the knots; log_gain: float32 [knots, d], the logarithms of steps per gray
    level, learned; sigma: float32 [d], the deviations of latents before their gain; bf16: whether a branch may compute
    in bfloat16; linear_names: parameters that begin well and learn slowly.
    """

    has_rates = True
    linear_names: tuple[str, ...] = ()
    lambdas: tuple[float, ...]
    sigma: Tensor
    bf16: bool = False

    @classmethod
    @abstractmethod
    def of_run(cls, d: int, width: int, lambdas: tuple[float, ...]) -> RatedNetwork:
        """Return a new network with d latent channels, as wide as a run says."""

    @property
    def linear(self) -> Linear | None:
        """The linear path, None where there is none."""
        return None

    def set_basis(self, basis: Tensor, sigma: Tensor) -> None:
        """Begin from an orthonormal block basis [>= d, 768], strongest component first, and its deviations."""
        self.sigma.copy_(sigma[: self.d])

    def rate_lambda(self, quality: Tensor) -> Tensor:
        """Return the weight [B] of 255^2 * MSE against bits per pixel that qualities [B] stand for."""
        # In the logarithm: the knots differ by factors, and so do qualities between them.
        logarithms = torch.tensor(self.lambdas, device=quality.device).log()[:, None]
        return at_knots(logarithms, quality)[:, 0].exp()

    def gain(self, quality: Tensor) -> Tensor:
        """Return steps per gray level [B, d, 1, 1] for qualities [B] in 1..100."""
        return at_knots(self.log_gain, quality).exp()[:, :, None, None]

    def make_gains(self, d: int, lambdas: tuple[float, ...]) -> None:
        """Add `sigma` and `log_gain`, which starts at sqrt(lambda / 26).

        That is the step at which a uniform quantizer behind an orthonormal transform has slope lambda.
        """
        self.d, self.lambdas = d, tuple(lambdas)
        self.register_buffer("sigma", torch.ones(d))
        # 26: the slope of a uniform quantizer, 12 / (2 ln 2) = 8.7, times 3 for the mean over three color channels.
        start = 0.5 * torch.log(torch.tensor(self.lambdas) / 26.0)
        self.log_gain = nn.Parameter(start[:, None].repeat(1, d))
