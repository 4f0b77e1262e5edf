"""The linear path of the `photo` network at one quality, and how weights are taken from a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vqcodec.errors import ModelError
from vqcodec.transform import GRAY_LEVELS, Array, LinearPath

STRIDE = 16
"""As PhotoNetwork has it: pixels to a latent."""
_WORST, _BEST = 1.0, 100.0


def gain_of(settings: Mapping[str, Any], weights: Mapping[str, Array], quality: float) -> Array:
    """Return steps per gray level float32 [d]; ModelError where weights do not fit the settings of the network."""
    knots = array_of(weights, "log_gain", len(settings["lambdas"]), int(settings["d"]))
    gain: Array = np.exp(_at_knots(knots, quality))
    return gain


def rate_lambda_of(settings: Mapping[str, Any], _: Mapping[str, Array], quality: float) -> float:
    """Return the weight of 255^2 * MSE against bits per pixel."""
    # In the logarithm: the knots differ by factors, and so do qualities between them.
    return float(np.exp(_at_knots(np.log(np.array(settings["lambdas"], np.float32)), quality)))


def linear_path(settings: Mapping[str, Any], weights: Mapping[str, Array], quality: float) -> LinearPath:
    """Return the linear path; settings are of the network, weights by name; ModelError where they do not fit."""
    d, gain = int(settings["d"]), gain_of(settings, weights, quality)
    basis = (
        array_of(weights, "block_synthesis", d, 3, STRIDE, STRIDE)
        / (gain * np.float32(GRAY_LEVELS))[:, None, None, None]
    )
    return LinearPath(basis, gain * array_of(weights, "sigma", d))


def array_of(weights: Mapping[str, Array], name: str, *shape: int) -> Array:
    """Return one of the weights; ModelError where it is missing or has another shape."""
    given = weights.get(name)
    if given is None or given.shape != shape:
        said = "missing" if given is None else list(given.shape)
        raise ModelError(f"the model's weights {name} are {said}, its settings need {list(shape)}; it is damaged")
    return given.astype(np.float32)


def _at_knots(values: Array, quality: float) -> Array:
    """Return the piecewise linear function [...] of a quality with values [knots, ...] at even steps."""
    position = (quality - _WORST) / (_BEST - _WORST) * (len(values) - 1)
    lower = min(max(int(position), 0), len(values) - 2)
    result: Array = values[lower] + (values[lower + 1] - values[lower]) * np.float32(position - lower)
    return result
