"""What is said while a training goes wrong: a loss that is no number, a codebook that collapses."""

from __future__ import annotations

import math

from vqcodec.errors import TrainingError

# Any codebook looks collapsed before its network has learned to use it.
_START_STEPS = 200
_FEW = 0.1
# Fewer than four indices for each codevector would leave many unused by chance (e^-4 is 2 %).
_SEEN = 4


def check_loss(loss: float, step: int, learning_rate: float) -> None:
    """Raise TrainingError where the loss of a step is infinite or no number; no step was taken along its gradient."""
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss of step {step} is {loss}, so the training has diverged; "
            f"choose a learning_rate below {learning_rate:g} and start anew"
        )


class CollapseWatch:
    """Notices that few codevectors are left in use, and again each time their number has halved.

    remedy: what helps the method, as the end of a sentence.
    """

    def __init__(self, remedy: str) -> None:
        self._threshold, self._remedy = _FEW, remedy

    def see(self, step: int, K: int, seen: int, usage: float, perplexity: float) -> str | None:
        """Return a sentence to be said about the share of used codevectors among `seen` indices, or None.

        The first steps do not count, nor do fewer indices than would use all codevectors several times.
        """
        if step < _START_STEPS or seen < _SEEN * K or usage >= self._threshold:
            return None
        self._threshold = usage / 2
        return (
            f"warning: the codebook collapses: {round(usage * K)} of {K} codevectors are in use at step {step} "
            f"({usage:.1%}, perplexity {perplexity:.1f}); what helps is {self._remedy}"
        )
