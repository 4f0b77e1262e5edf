"""What the settings of every kind of run are checked for."""

from __future__ import annotations

from typing import Any

from vqcodec.errors import SettingsError

Ranges = dict[str, tuple[float, float]]
COMMON: Ranges = {
    "learning_rate": (1e-9, 1),
    "checkpoint_minutes": (0.05, 10**6),
    "seed": (0, 2**62),
    "threads": (0, 1024),
}
CODEBOOK: Ranges = {"quantizer_weight": (0, 1e3), "table_bits": (8, 24)}
"""Those of a run that makes a codebook and its tables."""


def check_ranges(settings: Any, ranges: Ranges) -> None:
    """Raise SettingsError for a field outside its range, `ranges` or COMMON."""
    for key, (low, high) in (ranges | COMMON).items():
        value = getattr(settings, key)
        if not low <= value <= high:
            raise SettingsError(f"{key}={value} is outside {low:g}..{high:g}")


def check_length(steps: int, seconds: float) -> None:
    """Raise SettingsError for a run without an end."""
    if steps <= 0 and seconds <= 0:
        raise SettingsError("a run needs steps or a time; give --steps N or --time 30m")


def unit_channels(d: int, m: int) -> int:
    """Return d_star, the channels of each of m units; SettingsError where they do not divide d."""
    if m < 1 or d % m:
        raise SettingsError(f"d={d} latent channels do not divide into m={m} units; choose m that divides d")
    return d // m
