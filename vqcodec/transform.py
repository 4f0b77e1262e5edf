"""The contract between a codec and whatever computes a model's networks: NumPy arrays of one picture at a quality."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vqcodec.exact.tiles import Rectangle

Array = npt.NDArray[np.float32]
GRAY_LEVELS = 255.0


class LinearPath(NamedTuple):
    """The linear path of a network at one quality.

    basis: float32 [d, 3, stride, stride], what a step of a latent adds to its block in a picture 0..1; deviation:
    float32 [d], of the latents of photographs, in steps.
    """

    basis: Array
    deviation: Array


class Transform(ABC):
    """Analysis and synthesis of one model. x: float32 [3, stride h, stride w] in [0, 1]; z: float32 [d, h, w].

    stride and has_rates are those of vqcodec.networks.Network. takes_turns: whether several threads may ask at a time.
    """

    stride: int
    has_rates: bool
    takes_turns: bool = False

    def prepare(self, quality: float, *methods: str) -> None:  # noqa: B027
        """Let what methods of a Transform need at a quality be made beside other work, where there is a thread for it.

        methods: "analysis", "synthesis" or "error_slope". What cannot be made is said when the method is called.
        """

    @property
    @abstractmethod
    def analysis_margin(self) -> int | None:
        """How many latents around it a latent depends on, None for all."""

    @property
    @abstractmethod
    def synthesis_margin(self) -> int | None:
        """How many latents around it a pixel depends on, None for all."""

    @abstractmethod
    def analysis(self, x: Array, quality: float) -> Array:
        """Return the latents z of a picture."""

    @abstractmethod
    def synthesis(self, z: Array, quality: float, inner: Rectangle | None = None) -> Array:
        """Return the picture, about [0, 1] and not clamped, of latents, or of those in a rectangle of them."""

    @abstractmethod
    def rate_lambda(self, quality: float) -> float:
        """Return the weight of 255^2 * MSE against bits per pixel; 0 without rates."""

    @abstractmethod
    def gain(self, quality: float) -> Array:
        """Return steps per gray level [d, 1, 1]; 1 without rates."""

    @abstractmethod
    def error_slope(self, z: Array, x: Array, quality: float) -> tuple[Array, Array]:
        """Return what the synthesis of z, clamped, has more than x; and the gradient to z of half its squares' sum."""

    def distortion(self, z: Array, x: Array, quality: float) -> float:
        """Return lambda 255^2 MSE of the synthesis of z, clamped, against x, in bits."""
        error = self.synthesis(z, quality)
        np.clip(error, 0, 1, out=error)
        error -= x
        return self._weight(quality) * _squares(error)

    def distortion_slope(self, z: Array, x: Array, quality: float) -> tuple[float, Array]:
        """Return the same, and its gradient to z."""
        error, slope = self.error_slope(z, x, quality)
        weight = self._weight(quality)
        return weight * _squares(error), np.float32(2 * weight) * slope

    def _weight(self, quality: float) -> float:
        # The mean of squares over the picture, times its pixels, of which each has three colors.
        return self.rate_lambda(quality) * GRAY_LEVELS**2 / 3

    def linear_path(self, quality: float) -> LinearPath | None:
        """Return the linear path, None where there is none that says by itself nearly what the synthesis does."""
        return None


def _squares(error: Array) -> float:
    """Return the sum of squares; row by row, since float32 does not add up a large picture one by one."""
    return sum(float(np.vdot(row, row)) for row in error.reshape(-1, error.shape[-1]))
