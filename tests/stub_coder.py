"""A coder for tests of rate control: files of given sizes and scores, made at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from vqcodec.choices import DEFAULT_EFFORT
from vqcodec.exact.bitstream.pixels import Overlay
from vqcodec.goals import QUALITIES, Goal, Trial
from vqcodec.image import Drawn, Picture
from vqcodec.rate_control import max_trials, seek

HEIGHT, WIDTH = 40, 60
SAMPLES = 3 * HEIGHT * WIDTH
PICTURE = Picture(np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8))
STEADY = [round(400 * 1.015**place) for place in range(len(QUALITIES))]
OVER, HALF = b"+", b"/"
FALLING = [36 * (200 - place) for place in range(len(QUALITIES))]


class StubCoder:
    """Files of given sizes, which decode to a picture with a given number of samples that are off by one."""

    def __init__(self, sizes_bytes: Sequence[int] = STEADY, errors: Sequence[int] = FALLING, saved: float = 0) -> None:
        self.sizes_bytes, self.errors, self.saved = sizes_bytes, errors, saved
        self.made: list[tuple[float, int, bool, bool]] = []
        self.exact_bytes: int | None = None
        self.half_share = 1.0
        self.over: Drawn | None = None
        self.over_bytes, self.over_share, self.over_errors = 0, 1.0, 1.0

    def drawn(self, over_bytes: int, share: float, errors: float) -> StubCoder:
        """This coder for a picture with drawn parts: what these take, and the shares of bytes and errors left."""
        nothing = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        self.over = Drawn(Overlay(nothing, nothing[..., 0] > 0), b"", nothing)
        self.over_bytes, self.over_share, self.over_errors = over_bytes, share, errors
        return self

    def size_bytes(self, place: int, effort: int = DEFAULT_EFFORT) -> int:
        """The size of a file; each effort above the default saves its share."""
        return int(self.sizes_bytes[place] * (1 - self.saved) ** (effort - DEFAULT_EFFORT))

    def over_size_bytes(self, place: int, effort: int = DEFAULT_EFFORT) -> int:
        """The size of a file with drawn parts over its indices."""
        return int(self.over_share * self.size_bytes(place, effort)) + self.over_bytes

    def psnr_db(self, place: int) -> float:
        """The PSNR of a file."""
        return 10 * math.log10(255**2 * SAMPLES / self.errors[place])

    def compress(
        self, picture: Picture, quality: float, effort: int, drawn: Drawn | None = None, half: bool = False
    ) -> bytes:
        """Return a file whose first byte is the quality, and whose last says whether there are drawn parts over it.

        Of half the width and height it ends otherwise, and takes `half_share` of the bytes.
        """
        assert drawn is None or drawn is self.over
        self.made.append((quality, effort, drawn is not None, half))
        place = QUALITIES.index(quality)
        if half:
            return bytes([place]).ljust(int(self.half_share * self.size_bytes(place, effort)), HALF)
        if drawn is None:
            return bytes([place]).ljust(self.size_bytes(place, effort), b"\0")
        return bytes([place]).ljust(self.over_size_bytes(place, effort), OVER)

    def decompress(self, data: bytes) -> Picture:
        """Return a picture with the PSNR of that quality."""
        pixels = np.zeros(SAMPLES, dtype=np.uint8)
        errors = self.errors[data[0]]
        pixels[: int(self.over_errors * errors) if data.endswith(OVER) else errors] = 1
        return Picture(pixels.reshape(HEIGHT, WIDTH, 3))

    def trial(
        self, picture: Picture, quality: float, effort: int, drawn: Drawn | None = None, half: bool = False
    ) -> tuple[bytes, Callable[[], Picture]]:
        """Return a file, and what decodes it."""
        data = self.compress(picture, quality, effort, drawn, half)
        return data, lambda: self.decompress(data)

    def drawn_parts(self, picture: Picture) -> Drawn | None:
        """Return what `drawn` has made."""
        return self.over

    def without_loss(self, picture: Picture, quality: float) -> bytes | None:
        """Return a file of `exact_bytes` whose first byte is the quality's place, if there is to be one."""
        return None if self.exact_bytes is None else bytes([QUALITIES.index(quality)]).ljust(self.exact_bytes, b"!")

    def count(self, effort: int) -> int:
        """How many files of an effort were made."""
        return sum(made == effort for _, made, _, _ in self.made)

    def seek(self, goal: Goal, effort: int = DEFAULT_EFFORT, half: bool = False) -> Trial:
        """Seek, and check what holds for every goal."""
        self.made.clear()
        ticks: list[None] = []
        found = seek(self, PICTURE, goal, effort, lambda: ticks.append(None), half=half)
        assert len(set(self.made)) == len(self.made) == len(ticks)
        kinds = (1 if self.over is None else 2) + any(made[3] for made in self.made)
        assert len(ticks) <= max_trials(goal, effort) * kinds
        assert found.is_lossless or (found.quality, found.effort, found.has_overlay, found.is_halved) in self.made
        assert found.is_halved == found.data.endswith(HALF)
        assert found.has_overlay == found.data.endswith(OVER)
        assert found.quality == QUALITIES[found.data[0]]
        return found


def bpp(size_bytes: float) -> float:
    """Bits per pixel of the stub's picture."""
    return 8 * size_bytes / (HEIGHT * WIDTH)
