"""Many items done by the actors of a Ray cluster (extra `ray`), which prepare once and know nothing of one another."""

from __future__ import annotations

import logging
import os
import pickle
import socket
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeVar

from vqcodec.cores import THREADS_VARIABLE, cores
from vqcodec.device import DEVICE_VARIABLE
from vqcodec.errors import SettingsError, VqcError

T = TypeVar("T")
R = TypeVar("R")
# Ray's actors are made anew for each of these, and their names lie in memory.
_ITEMS_AT_A_TIME = 50_000
_MOST_OF_A_TASK, _TASKS_OF_AN_ACTOR = 32, 16
"""A task has so many items at most, since they are done again with it, and few enough for so many tasks an actor."""
_SECONDS_TO_ANSWER = 10
# An item that takes its process with it would be tried for ever.
_RETRIES = 3


def in_ray(
    do: Callable[[T], R], items: Iterator[T], count: int, prepare: Callable[[], object] | None = None
) -> Iterator[tuple[T, R | VqcError]]:
    """Yield items with what `do`, which raises nothing, makes of them in `count` actors of Ray Data.

    They run on the cluster that RAY_ADDRESS names, or on one that is made here. An actor that is lost is replaced, and
    its items are done again, a few times; then VqcError is what comes of them. SettingsError without the extra,
    VqcError where no cluster answers or Ray gives up, and what `prepare` raises.
    """
    ray = _ray()
    if prepare is not None:
        prepare()  # what cannot be prepared is said once, and not by every actor
    if not ray.is_initialized():
        _check_answers(os.environ.get("RAY_ADDRESS", ""))
        quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
        here = {"address": "local", "num_cpus": max(count, cores()), "include_dashboard": False}
        ray.init(**quiet, **({} if "RAY_ADDRESS" in os.environ else here))
    work = pickle.dumps((do, prepare, os.environ.get(DEVICE_VARIABLE)))
    while some := dict(enumerate(islice(items, _ITEMS_AT_A_TIME))):
        # Those that were lost with an item that no actor survives come back one by one.
        for together in (max(1, min(_MOST_OF_A_TASK, len(some) // (count * _TASKS_OF_AN_ACTOR))), 1):
            for number, came in _pass(ray, work, dict(some), count, together):
                yield some.pop(number), came
        yield from ((item, VqcError("its process ended, probably for lack of memory")) for item in some.values())


def _pass(ray: Any, work: bytes, items: dict[int, T], count: int, together: int) -> Iterator[tuple[int, Any]]:
    """Yield numbers of items with what came of them, without those that actors were lost with again and again."""
    if not items:
        return
    rows = [{"number": number, "item": pickle.dumps(item)} for number, item in items.items()]
    blocks = -(-len(rows) // together)
    with warnings.catch_warnings():
        # There is no other way to say how often a task is tried again, and Ray's own is for ever.
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
        done = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
            _Actor,
            fn_constructor_kwargs={"work": work},
            batch_size=together,
            compute=ray.data.ActorPoolStrategy(size=min(count, blocks)),
            num_cpus=1,
            max_task_retries=_RETRIES,
        )
    try:
        for row in done.iter_rows():
            yield row["number"], pickle.loads(row["came"])
    except ray.exceptions.RayError as error:
        raise VqcError(f"Ray gave up: {str(error).splitlines()[0]}; start again to go on") from error


class _Actor:
    """What an actor of Ray does: it prepares once, and does items."""

    def __init__(self, work: bytes) -> None:
        os.environ.setdefault(THREADS_VARIABLE, "1")
        self.do, prepare, device = pickle.loads(work)
        if device:  # a cluster that was there before has an environment of its own
            os.environ[DEVICE_VARIABLE] = device
        if prepare is not None:
            prepare()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Return the numbers of items with what came of them."""
        came = [pickle.dumps(self.do(pickle.loads(bytes(item)))) for item in batch["item"]]
        return {"number": list(batch["number"]), "came": came}


def _check_answers(address: str) -> None:
    """Raise VqcError where nothing answers at an address of host and port; Ray would ask for minutes, and end."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():  # as "auto" and "local" are
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise VqcError(f"no cluster answers at RAY_ADDRESS={address} ({error}); start it, or unset that") from error


def _ray() -> Any:
    # No report of use goes anywhere, and no bars are drawn beside ours.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise SettingsError("the engine ray needs Ray Data; pip install 'vqcodec[ray]'") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray
