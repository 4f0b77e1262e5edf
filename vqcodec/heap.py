"""Memory that a program has freed, and that its allocator keeps."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable


def trim() -> None:
    """Give freed memory back to the system where the C library can.

    glibc keeps what lies between blocks in use, after tensors of many sizes more than they took at any time; others
    give it back by themselves. It takes a millisecond, so it is for whoever has just freed hundreds of them.
    """
    if (function := _malloc_trim()) is not None:
        function(0)


@functools.lru_cache(maxsize=1)
def _malloc_trim() -> Callable[[int], object] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, TypeError, OSError):  # Windows has no CDLL(None), other C libraries no such function
        return None
