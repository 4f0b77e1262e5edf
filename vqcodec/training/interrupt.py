"""Ctrl-C while training: finish the step, save, stop; where that would take long, stop at once with what was saved."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tqdm import tqdm

_STOPPING = "stopping after this step; Ctrl-C again stops at once, from the last checkpoint on"


class Interrupt:
    """Whether Ctrl-C was pressed, which is looked at between steps, where the state is whole."""

    def __init__(self) -> None:
        self.pressed = False
        self._now = False

    def __call__(self) -> bool:
        """Return whether it was."""
        return self.pressed

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let Ctrl-C raise KeyboardInterrupt at once, as it does the second time; for work that takes minutes."""
        if self.pressed:
            raise KeyboardInterrupt
        self._now = True
        try:
            yield
        finally:
            self._now = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        if self.pressed or self._now:
            raise KeyboardInterrupt
        self.pressed = True
        tqdm.write(_STOPPING, file=sys.stderr)


@contextmanager
def interrupt_flag(interrupt: Interrupt) -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C into an Interrupt. Outside of the main thread signals are left alone."""
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = signal.signal(signal.SIGINT, interrupt.note)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
