"""PNG files of pictures that come in strips, and of which no more than two strips are ever in memory."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Generator
from contextlib import closing
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from vqcodec.cores import beside
from vqcodec.exact.bitstream.ancillary import Ancillary
from vqcodec.image.picture import picture_with
from vqcodec.image.png import MAGIC, chunk, chunks
from vqcodec.image.writing import write_picture

Pixels = npt.NDArray[np.uint8]
_AVERAGE = 3
"""The number of the filter, the same for all rows: no other makes decoded photographs smaller at so little time."""
_LEVEL = 2
"""Of zlib; with the filter it makes photographs as small as Pillow at the level that `write_picture` asks of it."""
_ROWS = 64
"""Rows that are filtered and packed at a time, so that they stay in the cache."""
_COLORED = np.array([[[0, 0, 1]]], np.uint8)


class Strips(NamedTuple):
    """A picture that comes in strips from above.

    pixels: uint8 [h, W, 3] each; grid: the height and width of the whole; said: what its file says of it, without
    alpha.
    """

    pixels: Generator[Pixels, None, None]
    grid: tuple[int, int]
    said: Ancillary


def write_strips(strips: Strips, file: BinaryIO) -> tuple[str, ...]:
    """Write a PNG of strips, each in a thread while the next one is made, and return what `write_picture` returns.

    The file says what one of `write_picture` would say. What the making of a strip or the file raises ends it.
    """
    small = io.BytesIO()
    notes = write_picture(picture_with(_COLORED, strips.said), small, "png")
    file.write(MAGIC)
    with closing(strips.pixels):
        channels = 0
        for kind, payload, whole, _ in chunks(memoryview(small.getvalue())):
            if kind == b"IHDR":
                channels = 3 if payload[9] else 1  # its type of color, 0 for gray
                file.write(chunk(kind, struct.pack(">II", *strips.grid[::-1]) + payload[8:]))
            elif kind == b"IDAT":
                _write_pixels(strips, channels, file)
            else:
                file.write(whole)
    return notes


def _write_pixels(strips: Strips, channels: int, file: BinaryIO) -> None:
    """Write the chunks of the pixels, of which a gray picture has one channel."""
    packer = zlib.compressobj(_LEVEL, strategy=zlib.Z_FILTERED)
    above = np.zeros((1, strips.grid[1] * channels), np.uint8)

    def write(packed: bytes) -> None:
        if packed:
            file.write(chunk(b"IDAT", packed))

    def add(strip: Pixels) -> None:
        nonlocal above
        for top in range(0, len(strip), _ROWS):
            shown = picture_with(strip[top : top + _ROWS], strips.said).pixels
            rows = shown[..., :channels].reshape(len(shown), -1)
            write(packer.compress(_filtered(rows, above, channels).data))
            above = rows[-1:].copy()  # without the rest of the strip

    beside(add, strips.pixels)
    write(packer.flush())


def _filtered(rows: Pixels, above: Pixels, channels: int) -> Pixels:
    """Return rows uint8 [h, n] below a row [1, n] as a PNG holds them, [h, 1 + n]: less the mean of left and upper."""
    left, upper = np.zeros_like(rows), np.concatenate([above, rows[:-1]])
    left[:, channels:] = rows[:, :-channels]
    filtered = np.full((len(rows), 1 + rows.shape[1]), _AVERAGE, np.uint8)
    # What both have, and half of what one has, is the mean rounded down without a ninth bit.
    np.subtract(rows, (left & upper) + ((left ^ upper) >> 1), out=filtered[:, 1:])
    return filtered
