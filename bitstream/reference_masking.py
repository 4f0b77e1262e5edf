"""Masking, of the reference decoder: steps that are coarser where much is going on, FORMAT.md section 5.8.

It needs NumPy only. All arithmetic is that of 64-bit integers.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from reference_rans import Integers, require

MAX_USUAL: Final = 1 << 24
STEPS: Final = np.array([41285, 52016, 65536, 82570, 104032])  # 2^16 times 2^(k / 3) for k = -2..2


def check_usual(name: str, usual: Integers) -> None:
    """The usual busyness of a group in its range, section 4.3."""
    fits = int(usual.min()) >= 0 and int(usual.max()) <= MAX_USUAL
    require(fits, "model", f"The model's {name} is outside 0..{MAX_USUAL}.")


def finer_steps(classes: Integers, usual: int) -> Integers:
    """k [N] of places with deviation classes [N, n]: by how many classes their steps are finer than the group's."""
    busiest = max(1, classes.shape[1] // 4)
    busy = np.sort(classes, axis=1)[:, -busiest:].sum(axis=1)
    k: Integers = ((2 * (usual - busy) + 4 * busiest) // (8 * busiest)).clip(-2, 2)
    return k


def rescale(y16: Integers, k: Integers) -> Integers:
    """y16 [N, n] in steps that are finer by k [N] classes."""
    scaled: Integers = (y16 * STEPS[2 + k][:, None] + 32768) >> 16
    return scaled
