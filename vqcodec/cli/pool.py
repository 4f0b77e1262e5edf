"""Jobs in several processes, each of which prepares once; none outlives the process that started it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, NoReturn, TypeVar

from vqcodec.cli.console import no_bars
from vqcodec.cli.work import Work, attempt_anything
from vqcodec.cores import THREADS_VARIABLE
from vqcodec.errors import InputError, VqcError

J = TypeVar("J")
_SECONDS_TO_END = 10.0


def in_processes(work: Work, jobs: Iterable[J], count: int, threads: int) -> Iterator[tuple[J, Any]]:
    """Yield jobs with what came of them as they are done in `count` processes of so many threads each.

    A job is taken from `jobs` when there is a process for it, so that there may be more than memory holds. VqcError
    where a process cannot prepare. However this ends, its processes end first.
    """
    crew: list[_Worker] = []
    try:
        for _ in range(count):
            crew.append(_Worker.start(work, threads))
        yield from _hand_out(iter(jobs), crew, lambda: _Worker.start(work, threads))
    except BaseException:
        for worker in crew:
            worker.process.terminate()
        raise
    finally:
        for worker in crew:
            worker.end()


def _hand_out(jobs: Iterator[J], crew: list[_Worker], another: Callable[[], _Worker]) -> Iterator[tuple[J, Any]]:
    waiting = deque(islice(jobs, 1))
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
                waiting.extend(islice(jobs, 1))
                busy[worker.connection] = worker
            if done is not None:
                yield done, answer


@dataclass
class _Worker:
    """A process, the way to it, and the job that it has; None while it prepares."""

    process: BaseProcess
    connection: Connection
    job: Any = None
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

    def give(self, job: Any) -> None:
        """Let the worker do a job."""
        self.job = job
        self.tell(job)

    def tell(self, what: Any) -> None:
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
    os.environ[THREADS_VARIABLE] = str(threads)  # read when torch is imported, which it is not yet
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(_Alone), no_bars():  # the bars of several processes would write over one another
        work: Work = _talk(connection.recv)
        prepared = attempt_anything(work.prepare)
        _talk(connection.send, prepared if isinstance(prepared, VqcError) else None)
        while True:
            _talk(connection.send, attempt_anything(work.do, _talk(connection.recv)))


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
