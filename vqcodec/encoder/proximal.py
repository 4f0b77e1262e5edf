"""Proximal steps at the encoder: this one picture's latents, moved until bits and error together are least.

The analysis is the same network for every picture; what it gives is not the best that could be
given to the decoder (Campos et al. 2019, Yang et al. 2020). Here the synthesis itself says where
the quantized latents should go: bits + lambda 255^2 MSE per picture is lowered by proximal
gradient steps. Gains are such that the error is about (latents - best)^2 / weight bits in every channel, with the
rate weight of the model, so a step goes weight / 2 times the gradient from the latents that the decoder has now, and
the usual choice of indices, by squared error plus weighted bits, is the proximal operator. Steps are averaged
(Krasnoselskii 1955, Mann 1953): latents go only a share of the way to where a step leads, and less of it each time.
A latent also goes where later ones are better predicted from it, influence.py, by a fifth of a step at most.

Arrays are NumPy's in a codec, and torch's in training, which takes the same steps for a batch of pictures.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from functools import partial
from operator import add
from typing import Any, NamedTuple, TypeVar

from vqcodec.cores import check_wanted
from vqcodec.encoder.choice import Encoder, Latents, Sought
from vqcodec.exact.priors.tables import Choice

T = TypeVar("T")
Array = Any
"""An array of NumPy or of torch."""
_DEAR = 1.5
# Whole steps overshoot at the lowest and highest qualities, and go back and forth later (docs/lab/photo-2.md).
_FIRST_SHARE, _SHRINKING = 0.85, 0.5
# What latents say of later ones is noisy where they say much, and drives them too far.
_INFLUENCE, _FARTHEST = 1.5, 0.2
_PATIENCE_SECONDS = 2.0


class Distortion(NamedTuple):
    """What latents that a decoder has cost beside their bits: lambda 255^2 MSE of its picture, in bits.

    `value` returns it, `slope` the same and its gradient to the latents, which takes longer.
    """

    value: Callable[[Array], Array]
    slope: Callable[[Array], tuple[Array, Array]]


def step_sizes(rate_lambda: Array, gain: Array, weight: float) -> Array:
    """Return how far a proximal step goes against the gradient of the error in bits, in the shape of the gain.

    rate_lambda: the weight of 255^2 * MSE against bits per pixel; gain: steps per gray level of each channel. In a
    basis of unit length an error of one latent step costs lambda / (3 gain^2) bits. Where that is more than
    1.5 / weight, as in channels whose gains were lowered to keep latents within reach, the usual step would go
    too far; where it is more than twice as much, further away each time.
    """
    # The gradient of (z - best)^2 / weight is 2 (z - best) / weight: half of the weight leads to the best.
    return weight / 2 / (weight / _DEAR * _cost_of_step(rate_lambda, gain)).clip(min=1)


def whole_sizes(rate_lambda: Array, gain: Array) -> Array:
    """Return how far against the gradient of the error in bits its least is, whatever bits cost; see step_sizes."""
    return 0.5 / _cost_of_step(rate_lambda, gain)


def _cost_of_step(rate_lambda: Array, gain: Array) -> Array:
    return rate_lambda / (3 * gain * gain)


def proximal_steps(
    distortion: Distortion,
    sizes: Array,
    z: Array,
    quantize: Callable[[Array], tuple[T, Array, Array]],
    steps: int,
    influence: Callable[[T, Array], Array] | None = None,
) -> Iterator[tuple[T, Callable[[], Array]]]:
    """Yield what was made of latents z and what tells its cost in bits, first of all and after each of the steps.

    sizes: see step_sizes; quantize: latents -> whatever the caller keeps of them, what a decoder has, and their bits;
    influence: what the caller keeps, latents -> how far these are to go for later ones' sake, see influence.py.
    A step may fail, so the last is not always the best.
    """
    for step in range(steps + 1):
        kept, decoded, bits = quantize(z)
        if step == steps:
            yield kept, partial(_cost, distortion, decoded, bits)
            return
        error, gradient = distortion.slope(decoded)
        yield kept, partial(add, bits, error)
        # A step leads away from what the decoder has, where the error was measured. Its share is of the way from z,
        # not from there: what z differs by is often less than another index would take, but adds up.
        share = _FIRST_SHARE / math.sqrt(1 + _SHRINKING * step)
        lead = decoded - sizes * gradient
        if influence is not None:
            lead = lead + influence(kept, z)
        z = z + share * (lead - z)


def pulled(rate: Latents | float, said: Latents, farthest: float) -> Latents:
    """Return how far latents go for later ones' sake: against what they say times a rate, so many steps at most."""
    away: Latents = rate * said
    return -away.clip(-farthest, farthest)


def _cost(distortion: Distortion, decoded: Array, bits: Array) -> Array:
    return bits + distortion.value(decoded)


def refine(
    encoder: Encoder, z: Latents, distortion: Distortion, sizes: Latents, quality: float, weight: float, steps: int
) -> Choice:
    """Return the best choice for latents z float32 [d, h, w] after `steps` proximal steps; weight is the model's.

    The last is not measured if the step before it has helped: then it has helped too (docs/lab/speed.md).
    """

    def quantize(latents: Latents) -> tuple[Sought, Latents, float]:
        check_wanted()
        sought = encoder.seek(latents, quality, weight)
        return sought, encoder.latents(sought.choice.codes), encoder.bits(sought.choice, quality)

    def influence(sought: Sought, latents: Latents) -> Latents:
        return pulled(_INFLUENCE * sizes, encoder.influence(sought, latents, quality, weight), _FARTHEST)

    found = proximal_steps(distortion, sizes, z, quantize, steps, influence)
    least, has_helped = math.inf, False
    for step, (sought, cost) in enumerate(with_bar(found, steps + 1)):
        if step == steps and has_helped:
            return sought.choice
        if (bits := cost()) < least:
            best, least, has_helped = sought.choice, bits, step > 0
        else:
            has_helped = False
    return best


def with_bar(found: Iterator[T], total: int) -> Iterator[T]:
    """Show on a terminal's stderr how much of `total` is found, once it has taken a while."""
    if sys.stderr is None or not sys.stderr.isatty():
        return found
    from tqdm import tqdm  # a fifth of what importing this module takes, for nothing where there is no terminal

    bar = tqdm(found, desc="refining", total=total, unit="step", leave=False, delay=_PATIENCE_SECONDS)
    return iter(bar)
