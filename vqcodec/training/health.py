"""What is said while a training goes wrong: a loss that is no number, a codebook that collapses."""

from __future__ import annotations

import math

from vqcodec.errors import SettingsError

_START_STEPS = 200
_FEW = 0.1


def check_loss(loss: float, step: int, learning_rate: float) -> None:
    """Raise SettingsError where the loss of a step is infinite or no number; nothing has learned from it yet."""
    if not math.isfinite(loss):
        raise SettingsError(
            f"the loss of step {step} is {loss}, so the training has diverged; "
            f"choose a learning_rate below {learning_rate:g} and start anew"
        )


class CollapseWatch:
    """Notices that few codevectors are left in use, and again each time their number has halved."""

    def __init__(self) -> None:
        self._threshold = _FEW

    def see(self, step: int, K: int, usage: float, perplexity: float) -> str | None:
        """Return a sentence to be said about a share of used codevectors, or None; the first steps do not count."""
        if step < _START_STEPS or usage >= self._threshold:
            return None
        self._threshold = usage / 2
        return (
            f"warning: the codebook collapses: {round(usage * K)} of {K} codevectors are in use at step {step} "
            f"({usage:.1%}, perplexity {perplexity:.1f}); quantizer cvq or looc revives them, as do moving averages "
            "and a lower learning rate"
        )
