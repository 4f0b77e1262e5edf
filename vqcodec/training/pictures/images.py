"""The pictures of a data set as training batches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vqcodec.training.pictures.large_sets import PictureFiles

_WHOLE_BATCH = 8


class Images:
    """The pictures of a data set as training batches, each of which depends on the seed and its step alone.

    So a run that was resumed sees what an uninterrupted one would. Every epoch is a permutation of the
    pictures; its last batch is smaller where the batch does not divide them. Of pictures that are higher or wider than
    `crop` a part of that height or width is shown, another in each epoch. On the CPU the array is used as it is,
    not copied; of PictureFiles a batch is read when it is asked for.
    """

    def __init__(
        self,
        pixels: npt.NDArray[np.uint8] | PictureFiles,
        batch: int,
        seed: int,
        crop: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.pixels = (
            pixels
            if isinstance(pixels, PictureFiles)
            else torch.as_tensor(np.require(pixels, requirements="W"), device=device)
        )
        self.batch_size = batch
        self.seed = seed
        self.shown = np.minimum(crop, pixels.shape[1:3])
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return -(-len(self) // self.batch_size)

    @cached_property
    def variance(self) -> float:
        """Variance of the values of all pixels in [0, 1], of files a sample's: the papers divide the error by it."""
        pixels = torch.from_numpy(self.pixels.sample()) if isinstance(self.pixels, PictureFiles) else self.pixels
        counts = torch.bincount(pixels.flatten(), minlength=256).cpu().double()
        values, share = torch.arange(256, dtype=torch.float64) / 255, counts / counts.sum()
        return float((share * (values - (share * values).sum()).square()).sum())

    def batch(self, step: int) -> Tensor:
        """Return the pictures float32 [B, 3, H, W] in [0, 1] of a step counted from 0 over all epochs."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            order = np.random.default_rng((self.seed, epoch)).permutation(len(self))
            self._epoch, self._order = epoch, torch.from_numpy(order)
        chosen = self._of(self._order[place * self.batch_size : (place + 1) * self.batch_size])
        free = np.array(self.pixels.shape[1:3]) - self.shown
        if not free.any():
            return to_pictures(chosen)
        places = np.random.default_rng((self.seed, step, 1)).integers(free + 1, size=(len(chosen), 2))
        height, width = self.shown
        parts = [pixels[y : y + height, x : x + width] for pixels, (y, x) in zip(chosen, places, strict=True)]
        return to_pictures(torch.stack(parts))

    def whole(self) -> Iterator[Tensor]:
        """Yield all pictures once, in their order and uncut, in small batches float32 [B, 3, H, W] in [0, 1]."""
        numbers = torch.split(torch.arange(len(self)), _WHOLE_BATCH)
        return (to_pictures(self._of(some)) for some in numbers)

    def _of(self, numbers: Tensor) -> Tensor:
        """Return the pixels uint8 [n, H, W, C] of pictures by their numbers."""
        if isinstance(self.pixels, PictureFiles):
            return torch.from_numpy(self.pixels[numbers.numpy()]).to(self.device)
        return self.pixels[numbers.to(self.device)]


def to_pictures(pixels: Tensor) -> Tensor:
    """Return float32 [B, 3, H, W] in [0, 1] for pixels uint8 [B, H, W, C]; gray is repeated."""
    return pixels.permute(0, 3, 1, 2).expand(-1, 3, -1, -1).float() / 255.0
