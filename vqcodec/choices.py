"""What can be chosen of a file, its quality and the effort that is spent on it: defaults and ranges; no torch."""

from __future__ import annotations

from vqcodec.errors import SettingsError

DEFAULT_QUALITY = 50.0
DEFAULT_EFFORT = 3
MODEL_FOR_LOOKS, MODEL_FOR_PSNR = "perceptual", "photo"
"""The shipped models that files are made by where none is named: the second where a PSNR is asked for."""
RATE_WEIGHT = 0.15
"""Steps^2 that an encoder weighs a bit with where a model says nothing else.

A uniform quantizer at high rate has the slope 2 ln 2 / 12 = 0.1155; behind a synthesis that repairs part of the error
a little more pays.
"""
TRAINING_RATE_WEIGHT = 0.125
"""Steps^2 that training weighs a bit with; a finished model has its own measured."""


def check_quality(quality: float) -> float:
    """Return quality rounded to the half steps of the file format; SettingsError outside 1..100."""
    if not 1 <= quality <= 100:
        raise SettingsError(f"quality {quality:g} is outside 1..100")
    return round(2 * quality) / 2


def check_effort(effort: int) -> int:
    """Return effort; SettingsError outside 0..9."""
    if not 0 <= effort <= 9:
        raise SettingsError(f"effort {effort} is outside 0..9")
    return effort


# Each step brings less than the one before (docs/benchmarks.md), so few are added at first and many at last. For looks
# two steps bring most of what many do (docs/lab/looks.md).
_STEPS_FOR_ERROR, _STEPS_FOR_LOOKS = (0, 0, 2, 4, 5, 6, 8, 10, 14, 20), (0, 0, 1, 2, 3, 4, 5, 6, 8, 10)


def steps_of(effort: int, is_for_error: bool) -> int:
    """Return the steps of refinement of an effort 0..9; effort 0 takes the nearest codevectors, all others count bits.

    is_for_error: whether the model was made for less squared error, and not for looks.
    """
    return (_STEPS_FOR_ERROR if is_for_error else _STEPS_FOR_LOOKS)[effort]
