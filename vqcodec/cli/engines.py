"""What does the items of a collection: this process, several, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from vqcodec.cli.work import Work, attempt, attempt_anything
from vqcodec.cores import threads

Came = Iterator[tuple[Any, Any]]
"""Items with what came of them: what a work makes of one, or a VqcError."""
Engine = Callable[[Work, Iterator[Any], int], Came]
PROCESSES, RAY = "processes", "ray"


def _in_processes(work: Work, items: Iterator[Any], count: int) -> Came:
    if count > 1:
        from vqcodec.cli import pool  # nobody else needs what starts and joins processes

        yield from pool.in_processes(work, items, count, max(1, threads() // count))
        return
    work.prepare()
    for item in items:
        yield item, attempt(work.do, item)


def _in_ray(work: Work, items: Iterator[Any], count: int) -> Came:
    from vqcodec import cluster

    return cluster.in_ray(partial(attempt_anything, work.do), items, count, work.prepare)


ENGINES: dict[str, Engine] = {PROCESSES: _in_processes, RAY: _in_ray}
