"""Jobs in several processes, each of which prepares once; none outlives the process that started it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, NoReturn, TypeVar

from vqcodec.cli.console import no_bars
from vqcodec.cli.jobs import Job, Outcome
from vqcodec.errors import InputError, VqcError

T = TypeVar("T")
Done = tuple[Job, "Outcome | VqcError"]
_SECONDS_TO_END = 10.0


def _nothing() -> None:
    """Be ready without doing anything."""


@dataclass(frozen=True)
class Work:
    """What to do with every job, and once in a process before its first one; a pickle can hold both."""

    do: Callable[[Job], Outcome]
    prepare: Callable[[], object] = _nothing


def attempt(function: Callable[..., T], *arguments: Any) -> T | VqcError:
    """Return what a function returns, or the error that a user is to read and other files are done in spite of."""
    try:
        return function(*arguments)
    except VqcError as error:
        return error
    except MemoryError:
        return InputError("not enough memory for this picture; make it smaller first")


def _attempt_here(function: Callable[..., T], *arguments: Any) -> T | VqcError:
    """Do the same in a process of a crew, where an error that nobody expects would be lost with the process."""
    try:
        return attempt(function, *arguments)
    except Exception as error:
        return VqcError(f"an error that vqc does not expect: {type(error).__name__}: {error}; report it, please")


def in_processes(work: Work, jobs: Sequence[Job], count: int, threads: int) -> Iterator[Done]:
    """Yield jobs with what came of them as they are done in `count` processes of so many threads each.

    VqcError where a process cannot prepare. However this ends, its processes end first.
    """
    crew: list[_Worker] = []
    try:
        for _ in range(count):
            crew.append(_Worker.start(work, threads))
        yield from _hand_out(deque(jobs), crew, lambda: _Worker.start(work, threads))
    except BaseException:
        for worker in crew:
            worker.process.terminate()
        raise
    finally:
        for worker in crew:
            worker.end()


def _hand_out(waiting: deque[Job], crew: list[_Worker], another: Callable[[], _Worker]) -> Iterator[Done]:
    busy = {worker.connection: worker for worker in crew}
    while busy:
        for connection in wait(list(busy)):
            worker = busy.pop(connection)  # type: ignore[call-overload]
            done, answer = worker.job, worker.answer()
            if done is None and answer is not None:
                raise answer
            if waiting and worker.has_ended:
                worker = another()
                crew.append(worker)
                busy[worker.connection] = worker
            elif waiting:
                worker.give(waiting.popleft())
                busy[worker.connection] = worker
            if done is not None:
                yield done, answer


@dataclass
class _Worker:
    """A process, the way to it, and the job that it has; None while it prepares."""

    process: BaseProcess
    connection: Connection
    job: Job | None = None
    has_ended: bool = False

    @classmethod
    def start(cls, work: Work, threads: int) -> _Worker:
        """Return a worker that begins to prepare."""
        context = multiprocessing.get_context("spawn")
        connection, its_end = context.Pipe()
        process = context.Process(target=_serve, args=(its_end, threads), daemon=True)
        with _ignored_interrupts():
            process.start()
        its_end.close()
        worker = cls(process, connection)
        worker.tell(work)
        return worker

    def give(self, job: Job) -> None:
        """Let the worker do a job."""
        self.job = job
        self.tell(job)

    def tell(self, what: Work | Job) -> None:
        """Send something; of a process that has ended, its answer will say so."""
        with suppress(OSError):
            self.connection.send(what)

    def answer(self) -> Any:
        """Return what came of the job, or None where preparing went well; an error where the process has ended."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.has_ended = True
            return InputError("the process ended, probably for lack of memory; try again with fewer --jobs")

    def end(self) -> None:
        """Wait for the process to end, which it does when nobody talks to it any more."""
        self.connection.close()
        self.process.join(_SECONDS_TO_END)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@contextmanager
def _ignored_interrupts() -> Iterator[None]:
    """Start a child that ignores Ctrl-C, which is its parent's affair, before its first line of Python too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _serve(connection: Connection, threads: int) -> None:
    """Prepare, and do jobs until there are no more."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # read when torch is imported, which it is not yet
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(_Alone), no_bars():  # the bars of several processes would write over one another
        work: Work = _talk(connection.recv)
        prepared = _attempt_here(work.prepare)
        _talk(connection.send, prepared if isinstance(prepared, VqcError) else None)
        while True:
            _talk(connection.send, _attempt_here(work.do, _talk(connection.recv)))


class _Alone(Exception):
    """There is nobody at the other end of a connection any more."""


def _talk(way: Callable[..., Any], *what: Any) -> Any:
    """Send or receive; only here do EOFError and OSError mean that there are no more jobs."""
    try:
        return way(*what)
    except (EOFError, OSError) as error:
        raise _Alone from error


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """End as an exception does, so that nothing half-written is left."""
    raise SystemExit(128 + number)


def _end_with_parent() -> None:
    """Wait for the parent to end, in whatever way, and end too, even in the middle of a job."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
