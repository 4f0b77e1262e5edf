"""Training pictures that do not fit in memory: a window that moves over shards while a run goes on.

Shards come in another order in each epoch, those of an epoch are divided among processes, and crops are drawn from a
window of some hundreds or thousands of pictures, which moves by a few with each step. What is in it follows from the
seed and the number of the step, so that a resumed run sees what an uninterrupted one would.
"""

from __future__ import annotations

import hashlib
import sys
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vqcodec import ranks
from vqcodec.cores import cores
from vqcodec.errors import InputError, SettingsError
from vqcodec.image import read_picture
from vqcodec.names import printable
from vqcodec.training.pictures.picture_set import PictureSet, check_any, note_left_out
from vqcodec.training.pictures.shards import Shard, find_shards

WINDOW_BYTES = 1 << 28
"""How much memory the pictures of a window take, about."""
CROPS_EACH = 2
"""How many crops of a picture are drawn while it is in the window, on average."""
_FEWEST, _MOST, _PROBED = 32, 4096, 32
# Of a larger picture a part is taken, so that a few of them do not fill the memory.
_LARGEST_SIDE = 1536
_AHEAD = 64
_SHOWN = 4


class StreamedPictures(PictureSet):
    """Pictures of shards, of which a window of `count` is in memory; 0 stands for as many as fit in WINDOW_BYTES."""

    def __init__(self, shards: list[Shard], seed: int, device: torch.device, count: int = 0) -> None:
        super().__init__([])
        if len(shards) < ranks.count():
            raise SettingsError(
                f"{len(shards)} shards cannot be divided among {ranks.count()} processes; write more of them"
            )
        self.shards, self.seed, self.device = shards, seed, device
        self.count = count or min(_fitting(shards[0]), max(1, len(self) // ranks.count()))
        self._window: deque[Tensor | None] = deque()
        self._first = self._skipped = 0
        self._coming = self._decoded(0)  # which begins when it is asked

    def __len__(self) -> int:
        return sum(shard.count for shard in self.shards)

    @property
    def digest(self) -> str:
        """A hash of the shards' names and how many pictures they have."""
        return hashlib.sha256(repr([(shard.name, shard.count) for shard in self.shards]).encode()).hexdigest()

    def split(self, held_out: int) -> tuple[PictureSet, PictureSet]:
        """Return (training, validation) sets, the latter the first pictures of the first shard, a fifth at most.

        Where none is to be held out, all are trained on, and these are a few of them.
        """
        first, *others = self.shards
        if not held_out:
            return self, PictureSet(_first_pictures(first, min(_SHOWN, first.count)))
        held_out = min(held_out, max(1, first.count // 5))
        kept = _first_pictures(first, held_out)
        if held_out == len(self):  # a single picture serves as both
            return self, PictureSet(kept)
        rest = [*([first.without(held_out)] if held_out < first.count else []), *others]
        return StreamedPictures(rest, self.seed, self.device, self.count), PictureSet(kept)

    def at(self, step: int, batch: int) -> PictureSet:
        """Return the window of a step: the same for the same step, batch and number of processes."""
        fresh = max(1, batch // (CROPS_EACH * ranks.count()))
        first, count = step * fresh, max(self.count, fresh)
        if not self._window or not self._first <= first <= self._first + count:
            self._window.clear()
            self._coming.close()
            self._first, self._coming = first, self._decoded(first)
        for _ in range(min(first - self._first, len(self._window))):
            self._window.popleft()
        self._first = first
        while len(self._window) < count:
            self._window.append(next(self._coming))
        there = [picture for picture in self._window if picture is not None]
        if not there:
            raise InputError(f"none of {count} pictures in a row can be read; check what the shards hold")
        return PictureSet(there)

    def _decoded(self, first: int) -> Generator[Tensor | None]:
        """Yield the pictures of this process from number `first` on without an end, None for an unreadable one."""
        with ThreadPoolExecutor(cores()) as pool:
            waiting: deque[Future[Tensor | None]] = deque()
            for number, (name, data) in enumerate(self._items(first), first):
                waiting.append(pool.submit(self._picture, number, name, data))
                if len(waiting) > min(_AHEAD, self.count // 4):
                    yield waiting.popleft().result()

    def _items(self, first: int) -> Iterator[tuple[str, bytes]]:
        epoch = 0
        while True:
            order = np.random.default_rng((self.seed, epoch)).permutation(len(self.shards))
            for i in order[ranks.number() :: ranks.count()]:
                shard = self.shards[i]
                if first < shard.count:
                    yield from shard.items(first)
                first = max(0, first - shard.count)
            epoch += 1

    def _picture(self, number: int, name: str, data: bytes) -> Tensor | None:
        try:
            return _tensor(data, np.random.default_rng((self.seed, number))).to(self.device)
        except InputError:
            self._skipped += 1
            if self._skipped == 1:
                tqdm.write(
                    f"{printable(name)} is not a readable picture, it is left out, and more of the kind are", sys.stderr
                )
            return None


def stream_pictures(sources: list[Path], device: torch.device, seed: int) -> StreamedPictures:
    """Return the pictures of folders, .tar shards, their indices, files and addresses in stores; most are not read yet.

    InputError where there are none, or a shard cannot be read; SettingsError where packages are missing.
    """
    shards, found = find_shards(sources)
    note_left_out(found.left_out)
    check_any(len(shards), sources)
    return StreamedPictures(shards, seed, device)


def _fitting(shard: Shard) -> int:
    """Return how many pictures like the first ones of a shard fill a window."""
    sizes = [picture.numel() for picture in _first_pictures(shard, min(_PROBED, shard.count))]
    return int(np.clip(WINDOW_BYTES // int(np.mean(sizes)), _FEWEST, _MOST))


def _first_pictures(shard: Shard, count: int) -> list[Tensor]:
    pictures = []
    for number, (_, data) in zip(range(count), shard.items(), strict=False):
        try:
            pictures.append(_tensor(data, np.random.default_rng(number)))
        except InputError:
            continue
    if not pictures:
        raise InputError(f"none of the first pictures of {printable(shard.name)} can be read; check what it holds")
    return pictures


def _tensor(data: bytes, numbers: np.random.Generator) -> Tensor:
    """Return a picture uint8 [3, H, W], of a large one a part; InputError where it is none."""
    pixels = read_picture(data).pixels
    top, left = (int(numbers.integers(max(1, side - _LARGEST_SIDE + 1))) for side in pixels.shape[:2])
    part = np.array(pixels[top : top + _LARGEST_SIDE, left : left + _LARGEST_SIDE])
    return torch.from_numpy(part).permute(2, 0, 1).contiguous()
