"""What can be chosen of a file, its quality and the effort that is spent on it: defaults and ranges; no torch."""

from __future__ import annotations

from vqcodec.errors import SettingsError

DEFAULT_QUALITY = 50.0
DEFAULT_EFFORT = 3


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
