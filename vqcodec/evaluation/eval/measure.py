"""One measurement: a picture through a codec at a quality, timed and compared; and many, side by side."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vqcodec import cluster
from vqcodec.cores import THREADS_VARIABLE, cores
from vqcodec.errors import InputError, VqcError
from vqcodec.evaluation import machine, metrics
from vqcodec.evaluation.codecs import EvalCodec, open_codec
from vqcodec.image import read_picture

Pixels = npt.NDArray[np.uint8]
Row = dict[str, Any]
_WAITING_PER_JOB = 4


@dataclass(frozen=True)
class Task:
    """What to measure; `codec` is what `open_codec` takes, `codec_name` what results call it."""

    picture: str
    path: str
    codec: str
    codec_name: str
    quality: float
    metrics: tuple[str, ...]


def measure(task: Task) -> Row:
    """Return one row of the results; where the codec fails, a row with `error` instead of figures."""
    row = _row(task)
    pixels = _read(task.path)
    try:
        return row | _measured(_open(task.codec), pixels, task)
    except VqcError as error:
        return row | {"error": str(error)}
    except Exception as error:  # a codec's library raises anything; the others go on
        return row | {"error": f"{type(error).__name__}: {error}"}


def _row(task: Task) -> Row:
    return {"picture": task.picture, "codec": task.codec_name, "quality": task.quality}


def code(codec: EvalCodec, pixels: Pixels, quality: float) -> tuple[bytes, Pixels, Row]:
    """Return the file, the pixels that come out of it, and seconds and memory."""
    with machine.peak_memory() as peak:
        start = time.perf_counter()
        data = codec.encode(pixels, quality)
        middle = time.perf_counter()
        decoded = codec.decode(data)
        end = time.perf_counter()
    if decoded.shape != pixels.shape:
        raise InputError(f"a picture of shape {pixels.shape} came back as {decoded.shape}")
    cost = {
        "encode_seconds": round(middle - start, 5),
        "decode_seconds": round(end - middle, 5),
        "peak_memory_bytes": peak[0] if peak else None,
    }
    return data, decoded, cost


def measure_all(tasks: Sequence[Task], jobs: int, ray: bool = False) -> Iterator[Row]:
    """Yield the rows of tasks as they are done, in `jobs` processes; with one job, in this one; or in actors of Ray."""
    if ray:
        for task, row in cluster.in_ray(measure, iter(tasks), jobs):
            yield row if not isinstance(row, VqcError) else _row(task) | {"error": str(row)}
        return
    if jobs == 1 or len(tasks) < 2:
        yield from map(measure, tasks)
        return
    threads = max(1, cores() // jobs)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, _start_worker, (threads,))
    try:
        yield from _drain(pool, iter(tasks), _WAITING_PER_JOB * jobs)
    except BrokenProcessPool as error:
        raise InputError(
            "a process ended before its picture was done, probably for lack of memory; "
            "run the same command again with fewer --jobs: it goes on from here"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _drain(pool: ProcessPoolExecutor, tasks: Iterator[Task], limit: int) -> Iterator[Row]:
    """Yield rows with at most `limit` tasks handed out, so that an interrupt has little to wait for."""
    waiting: set[Future[Row]] = set()
    while True:
        while len(waiting) < limit and (task := next(tasks, None)) is not None:
            waiting.add(pool.submit(measure, task))
        if not waiting:
            return
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()


def _start_worker(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    os.environ[THREADS_VARIABLE] = str(threads)
    torch.set_num_threads(threads)


def _measured(codec: EvalCodec, pixels: Pixels, task: Task) -> Row:
    data, decoded, cost = code(codec, pixels, task.quality)
    height, width = pixels.shape[:2]
    return {
        "width": width,
        "height": height,
        "bytes": len(data),
        "bpp": 8 * len(data) / (width * height),
        **cost,
        "metrics": metrics.compare(task.metrics, pixels, decoded),
    }


@functools.lru_cache(maxsize=2)
def _read(path: str) -> Pixels:
    return read_picture(path).pixels


@functools.lru_cache(maxsize=16)
def _open(wanted: str) -> EvalCodec:
    """Return a codec that has coded once, so that no first call with its preparations is timed."""
    codec = open_codec(wanted)
    with suppress(Exception):
        codec.decode(codec.encode(np.full((64, 64, 3), 128, np.uint8), codec.default_qualities[0]))
    return codec
