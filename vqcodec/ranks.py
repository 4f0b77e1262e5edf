"""The processes of one training run, which torchrun has started: each takes its part of every batch.

Gradients and losses are averaged over them, what a codebook learns from is the whole batch, and what one of them
computed the others take over. In a run of one process all of this does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from vqcodec.errors import LostProcessError, SettingsError, TrainingError

T = TypeVar("T")
# The others wait while the first fits tables, which takes as long as it takes.
_PATIENCE = timedelta(days=2)


def count() -> int:
    """Return how many processes the run has."""
    return dist.get_world_size() if dist.is_initialized() else 1


def number() -> int:
    """Return this process's number, from 0 on."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Return whether this process is the one that saves, logs and measures."""
    return number() == 0


def device() -> torch.device:
    """Return where this process computes: a GPU of its own if there are any, or the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def check_divisible(batch: int, processes: int) -> None:
    """Raise SettingsError where processes cannot take equal parts of a batch."""
    if batch % processes:
        raise SettingsError(f"a batch of {batch} cannot be divided among {processes} processes; choose a multiple")


@contextmanager
def joined() -> Iterator[None]:
    """Meet the other processes that torchrun has started, if it has, and part from them at the end."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    with _together():
        store, rank, size = next(rendezvous("env://"))
        # Processes that are started again find the addresses of those before them in the store.
        store = dist.PrefixStore(  # type: ignore[attr-defined]
            os.environ.get("TORCHELASTIC_RESTART_COUNT", ""), store
        )
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def part(x: Tensor) -> Tensor:
    """Return this process's pictures of a batch x [B, ...], of which B can be divided: see `check_divisible`."""
    if count() == 1:
        return x
    return x.chunk(count())[number()]


def whole(x: Tensor) -> Tensor:
    """Return the parts x [B / N, ...] of all processes as they lie in the batch, [B, ...], without gradients."""
    if count() == 1:
        return x
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(count())]
    with _together():
        dist.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts)


def noise_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return this process's part x.shape of numbers even in 0..1; all processes draw those of the whole batch."""
    shape = (len(x) * count(), *x.shape[1:])
    return part(torch.rand(shape, generator=generator, device=x.device))


def mean(x: Tensor) -> Tensor:
    """Return the mean of a tensor over all processes."""
    if count() == 1:
        return x
    total = x.detach().clone()
    with _together():
        dist.all_reduce(total)
    return total / count()


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give all processes the mean of their gradients, which is the gradient of a mean over the whole batch."""
    if count() == 1:
        return
    listed = list(parameters)
    reached = mean(torch.tensor([float(p.grad is not None) for p in listed])).tolist()
    for parameter, share in zip(listed, reached, strict=True):
        # What one process's pictures did not reach, those of another may have.
        if share and parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [p.grad for p in listed if p.grad is not None]
    together = mean(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, value in zip(gradients, torch.split(together, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(value.view_as(gradient))


def from_first(make: Callable[[], T]) -> T:
    """Return what the first process makes; the others wait for it and make nothing."""
    if count() == 1:
        return make()
    made = [make() if is_first() else None]
    with _together():
        dist.broadcast_object_list(made, 0)
    return cast(T, made[0])


def first_said(sentence: str) -> str:
    """Return the first sentence that is not empty of those that all processes say, or an empty one."""
    if count() == 1:
        return sentence
    said: list[str] = [""] * count()
    with _together():
        dist.all_gather_object(said, sentence)
    return next(filter(None, said), "")


def check_same(make: Callable[[], Any], sentence: str) -> None:
    """Raise TrainingError with a sentence where what processes make is not all the same.

    One process alone makes nothing: a hash of all pictures takes seconds.
    """
    if count() == 1:
        return
    values: list[Any] = [None] * count()
    with _together():
        dist.all_gather_object(values, make())
    if any(other != values[0] for other in values):
        raise TrainingError(sentence)


@contextmanager
def _together() -> Iterator[None]:
    """Say in one sentence that another process is gone, which the libraries below say in many ways."""
    try:
        yield
    except RuntimeError as error:
        raise LostProcessError(
            "another process of the run has ended; go on from the last checkpoint with --resume"
        ) from error
