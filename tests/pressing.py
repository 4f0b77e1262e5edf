"""Ctrl-C while a generator learns."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from torch import Tensor

from vqcodec.generation.learning import Pupil


@contextmanager
def pressed_after(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let Ctrl-C be pressed when a generator has taken so many steps."""
    take_step = Pupil.take_step

    def pressed(pupil: Pupil, sequences: Tensor) -> None:
        take_step(pupil, sequences)
        if pupil.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Pupil, "take_step", pressed)
        yield
