"""The linear path of the `photo` network at one quality, and how weights are taken from a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vqcodec.errors import ModelError

Array = npt.NDArray[np.float32]
STRIDE, MARGIN = 16, 10
"""As PhotoNetwork has them: pixels to a latent, and how many latents around its own a pixel depends on."""
_GRAY_LEVELS = np.float32(255)
_WORST, _BEST = 1.0, 100.0


class LinearPath(NamedTuple):
    """The linear path at one quality.

    basis: float32 [d, 3, 16, 16], what a step of a latent adds to its block in a picture 0..1; deviation: float32 [d],
    of the latents of photographs, in steps.
    """

    basis: Array
    deviation: Array


def linear_path(settings: Mapping[str, Any], weights: Mapping[str, Array], quality: float) -> LinearPath:
    """Return the linear path; settings are of the network, weights by name; ModelError where they do not fit."""
    d = int(settings["d"])
    knots = array_of(weights, "log_gain", len(settings["lambdas"]), d)
    gain: Array = np.exp(_at_knots(knots, (quality - _WORST) / (_BEST - _WORST)))
    basis = array_of(weights, "block_synthesis", d, 3, STRIDE, STRIDE) / (gain * _GRAY_LEVELS)[:, None, None, None]
    return LinearPath(basis, gain * array_of(weights, "sigma", d))


def array_of(weights: Mapping[str, Array], name: str, *shape: int) -> Array:
    """Return one of the weights; ModelError where it is missing or has another shape."""
    given = weights.get(name)
    if given is None or given.shape != shape:
        said = "missing" if given is None else list(given.shape)
        raise ModelError(f"the model's weights {name} are {said}, its settings need {list(shape)}; it is damaged")
    return given


def _at_knots(values: Array, position: float) -> Array:
    """Return the piecewise linear function [n] of a position 0..1 with values [knots, n] at even steps."""
    position *= len(values) - 1
    lower = min(max(int(position), 0), len(values) - 2)
    result: Array = values[lower] + (values[lower + 1] - values[lower]) * np.float32(position - lower)
    return result
