"""Steps that follow how busy a place is expected to be: an error is seen least where much is going on.

A group's networks say before its indices how far each latent will lie from its mean. Where that is more than usual for
the group, the phase and the quality, the steps of the place are coarser, where it is less they are finer, by up to two
thirds of an octave. Encoder and decoder know the same, so it costs no bits. Latents are kept in the group's own steps,
which is what networks see.

bitstream/FORMAT.md, "Context prior: masking", is the law. What it brings: docs/lab/looks.md.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vqcodec.errors import ModelError

IntArray = npt.NDArray[np.integer]

MOST = 2
"""Steps become coarser and finer by as many deviation classes."""
STEP_BITS = 16
STEPS = (41285, 52016, 65536, 82570, 104032)
"""2^(k / 3) for k of -MOST to MOST, in 2^-STEP_BITS: three deviation classes are an octave."""
USUAL_MAX = 1 << 24
_FACTORS = np.array(STEPS, np.int64)[:, None]
WIDEST_SHARE = 4
"""One in four of a place's latents, the widest ones, say how busy it is."""
CLASSES_PER_STEP = 4
"""By as many classes these must lie above the usual ones, on average, for steps that are one class coarser."""


def check_setting(masked: object) -> bool:
    """Return whether a model has masking; ModelError where it does not say so properly."""
    if not isinstance(masked, bool):
        raise ModelError("the model's masking must be true or false")
    return masked


def check_usual(name: str, usual: IntArray) -> npt.NDArray[np.int64]:
    """Return the usual busyness [phases, rows] of a model; ModelError where it is of the wrong type or range."""
    if usual.dtype != np.int32 or usual.min() < 0 or usual.max() > USUAL_MAX:
        raise ModelError(f"the model's {name} must be int32 of 0..{USUAL_MAX}")
    return usual.astype(np.int64)


def widest(n: int) -> int:
    """Return how many of a group's n latents say how busy a place is."""
    return max(1, n // WIDEST_SHARE)


def busyness(classes: IntArray) -> npt.NDArray[np.int64]:
    """Return how busy places are [N]: the sum of the largest of their deviation classes [N, n]."""
    n = classes.shape[1]
    first = n - widest(n)
    largest = np.partition(classes, first, axis=1)[:, first:]
    total: npt.NDArray[np.int64] = largest.sum(1, dtype=np.int64)
    return total


def finer_by(classes: IntArray, usual: int) -> npt.NDArray[np.int64]:
    """Return by how many classes steps are finer [N], -MOST..MOST, where deviation classes [N, n] are expected.

    usual: the busyness of places whose steps stay as they are.
    """
    unit = CLASSES_PER_STEP * widest(classes.shape[1])
    # To the nearest, halves upwards.
    finer: npt.NDArray[np.int64] = (2 * (usual - busyness(classes)) + unit) // (2 * unit)
    return finer.clip(-MOST, MOST)


def scaled(latents: IntArray, finer: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return latents [N, n] of places in steps that are finer by so many classes [N]; rounded, halves upwards."""
    return (latents * _FACTORS[finer + MOST] + (1 << (STEP_BITS - 1))) >> STEP_BITS


def shifted(classes: IntArray, finer: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.uint8]:
    """Return deviation classes [N, n] of 0..count - 1 where steps are finer by so many classes [N]."""
    return (classes + finer[:, None]).clip(0, count - 1).astype(np.uint8)


def factor(finer: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return how many finer steps [N, 1] make one of the group's own."""
    return np.divide(_FACTORS[finer + MOST], 1 << STEP_BITS, dtype=np.float32)
