"""The processor as a program may use it."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice, pairwise
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")
R = TypeVar("R")
THREADS_VARIABLE = "OMP_NUM_THREADS"
"""The environment variable that says how many threads work at a time; torch and OpenMP read it too."""


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads() -> int:
    """Return how many threads work at a time: what OMP_NUM_THREADS says, or the cores that this process may use."""
    said = os.environ.get(THREADS_VARIABLE, "")
    if said.isdigit() and int(said):
        return int(said)
    return cores()


def in_order(work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Yield what a work makes of items, in their order, while threads are at those that follow.

    At most `threads()` items are begun and not yet yielded, so memory stays bounded. What a work raises comes in its
    turn. When the caller leaves, nothing more is begun, and what has begun ends where it asks `check_wanted`.
    """
    count = min(threads(), len(items))
    if count < 2:
        yield from map(work, items)
        return
    from concurrent.futures import ThreadPoolExecutor  # for one tile nobody needs it

    left, rest = threading.Event(), iter(items)
    with ThreadPoolExecutor(count, "vqc", partial(setattr, _here, "left", left)) as pool:
        begun = deque(pool.submit(work, item) for item in islice(rest, count))
        try:
            while begun:
                result = begun.popleft().result()
                begun.extend(pool.submit(work, item) for item in islice(rest, 1))
                yield result
        finally:
            left.set()
            for future in begun:
                future.cancel()


def in_parts(work: Callable[[slice], R], length: int, least: int) -> list[R]:
    """Return what a work makes of parts of 0..length, in order, each made by a thread of its own.

    There are at most `threads()` parts, of at least `least` each, and one where `in_order` has given this thread its
    work: then the others have work too.
    """
    count = 1 if _here.left is not None else max(1, min(threads(), length // least))
    ends = [length * part // count for part in range(count + 1)]
    parts = [slice(start, stop) for start, stop in pairwise(ends)]
    if count == 1:
        return [work(parts[0])]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(count - 1, "vqc") as pool:
        others = [pool.submit(work, part) for part in parts[1:]]
        return [work(parts[0]), *(other.result() for other in others)]


def beside(work: Callable[[T], object], items: Iterable[T]) -> None:
    """Do a work for items, in their order, in a thread of its own while the next one is made, where there is a thread.

    Not more than two items are there at a time. What a work or the making of an item raises comes when the work that
    was begun has ended.
    """
    if threads() < 2:
        deque(map(work, items), maxlen=0)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, "vqc") as pool:
        begun: deque[Future[object]] = deque()
        for item in items:
            while begun:
                begun.popleft().result()
            begun.append(pool.submit(work, item))
        for last in begun:
            last.result()


class _Here(threading.local):
    """What is known in a thread of `in_order`: whether its caller has left."""

    left: threading.Event | None = None


_here = _Here()


class NotWantedError(Exception):
    """Nobody waits for a work any more; `in_order` lets no caller see it."""


def check_wanted() -> None:
    """Raise NotWantedError in a thread of `in_order` whose caller has left, as with Ctrl-C; ask it now and then."""
    if _here.left is not None and _here.left.is_set():
        raise NotWantedError
