"""A coder for tests of rate control: files of given sizes and scores, made at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from vqcodec.choices import DEFAULT_EFFORT
from vqcodec.goals import QUALITIES, Goal, Trial
from vqcodec.image import Picture
from vqcodec.rate_control import max_trials, seek

HEIGHT, WIDTH = 40, 60
SAMPLES = 3 * HEIGHT * WIDTH
PICTURE = Picture(np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8))
STEADY = [round(400 * 1.015**place) for place in range(len(QUALITIES))]
FALLING = [36 * (200 - place) for place in range(len(QUALITIES))]


class StubCoder:
    """Files of given sizes, which decode to a picture with a given number of samples that are off by one."""

    def __init__(self, sizes_bytes: Sequence[int] = STEADY, errors: Sequence[int] = FALLING, saved: float = 0) -> None:
        self.sizes_bytes, self.errors, self.saved = sizes_bytes, errors, saved
        self.made: list[tuple[float, int]] = []
        self.exact_bytes: int | None = None

    def size_bytes(self, place: int, effort: int = DEFAULT_EFFORT) -> int:
        """The size of a file; each effort above the default saves its share."""
        return int(self.sizes_bytes[place] * (1 - self.saved) ** (effort - DEFAULT_EFFORT))

    def psnr_db(self, place: int) -> float:
        """The PSNR of a file."""
        return 10 * math.log10(255**2 * SAMPLES / self.errors[place])

    def compress(self, picture: Picture, quality: float, effort: int) -> bytes:
        """Return a file whose first byte is the quality."""
        self.made.append((quality, effort))
        place = QUALITIES.index(quality)
        return bytes([place]).ljust(self.size_bytes(place, effort), b"\0")

    def decompress(self, data: bytes) -> Picture:
        """Return a picture with the PSNR of that quality."""
        pixels = np.zeros(SAMPLES, dtype=np.uint8)
        pixels[: self.errors[data[0]]] = 1
        return Picture(pixels.reshape(HEIGHT, WIDTH, 3))

    def trial(self, picture: Picture, quality: float, effort: int) -> tuple[bytes, Callable[[], Picture]]:
        """Return a file, and what decodes it."""
        data = self.compress(picture, quality, effort)
        return data, lambda: self.decompress(data)

    def without_loss(self, picture: Picture, quality: float) -> bytes | None:
        """Return a file of `exact_bytes` whose first byte is the quality's place, if there is to be one."""
        return None if self.exact_bytes is None else bytes([QUALITIES.index(quality)]).ljust(self.exact_bytes, b"!")

    def count(self, effort: int) -> int:
        """How many files of an effort were made."""
        return sum(made == effort for _, made in self.made)

    def seek(self, goal: Goal, effort: int = DEFAULT_EFFORT) -> Trial:
        """Seek, and check what holds for every goal."""
        self.made.clear()
        ticks: list[None] = []
        found = seek(self, PICTURE, goal, effort, lambda: ticks.append(None))
        assert len(set(self.made)) == len(self.made) == len(ticks) <= max_trials(goal, effort)
        assert found.is_lossless or (found.quality, found.effort) in self.made
        assert found.quality == QUALITIES[found.data[0]]
        return found


def bpp(size_bytes: float) -> float:
    """Bits per pixel of the stub's picture."""
    return 8 * size_bytes / (HEIGHT * WIDTH)
