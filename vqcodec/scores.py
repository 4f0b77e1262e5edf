"""How near a copy comes to its original: the two scores that a file can be made for, and that verify says; no torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vqcodec.errors import InputError, SettingsError

MAX_DB = 100.0
Pixels = npt.NDArray[np.uint8]
Function = Callable[[Pixels, Pixels], float]


class Score(NamedTuple):
    """One score: its name in results, how one that is wanted and one that was reached are said, and its function.

    `most` is that of an exact copy. `needs` are the modules of the extra `eval` without which `load` fails.
    """

    name: str
    wanted: str
    said: str
    load: Callable[[], Function]
    most: float
    needs: tuple[str, ...] = ()

    def check_extra(self) -> None:
        """Raise SettingsError where what it needs is not installed, before anything slow is imported."""
        for name in self.needs:
            if not _is_installed(name):
                raise SettingsError(
                    f"{self.name} needs {name}, which is not installed; run: pip install 'vqcodec[eval]'"
                )


def psnr_db(original: npt.NDArray[np.uint8], copy: npt.NDArray[np.uint8]) -> float:
    """Return the PSNR in dB over all samples of two pictures uint8 [H, W, 3]; 100 where nothing differs."""
    squared = 0
    for row, other in zip(original, copy, strict=True):  # row by row, so that it takes no memory
        squared += int(np.square(row.astype(np.int64) - other).sum())
    return MAX_DB if squared == 0 else min(MAX_DB, 10 * math.log10(255**2 * original.size / squared))


def _load_ssimulacra2() -> Function:
    """Return SSIMULACRA 2, which raises InputError for pictures that are too small for it."""
    from vqcodec.evaluation.metrics import METRICS, load

    function, min_side = load("ssimulacra2"), METRICS["ssimulacra2"].min_side

    def ssimulacra2(original: Pixels, copy: Pixels) -> float:
        if min(original.shape[:2]) < min_side:
            raise InputError(f"a picture with a side below {min_side} pixels has no SSIMULACRA 2; ask for its PSNR")
        return function(original, copy)

    return ssimulacra2


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


PSNR = Score("psnr_db", "a PSNR of {:g} dB", "{:.2f} dB", lambda: psnr_db, MAX_DB)
SSIMULACRA2 = Score(
    "ssimulacra2", "a SSIMULACRA 2 of {:g}", "SSIMULACRA 2 {:.2f}", _load_ssimulacra2, 100.0, ("scipy", "ssimulacra2")
)
