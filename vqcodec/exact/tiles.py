"""Large pictures in tiles: squares of latents that are coded as streams of their own.

A tile is coded exactly as a picture of its size would be, so that decoding needs memory for one
tile, not for the picture. What the networks see beyond a tile's edge overlaps its neighbors and
is thrown away, so that no seam shows. bitstream/FORMAT.md, "Tiles", is the law; no torch.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from vqcodec.errors import FormatError
from vqcodec.exact.bitstream.container import CRC_BYTES
from vqcodec.exact.bitstream.header import Reader, varint

T = TypeVar("T", bound=np.generic)
R = TypeVar("R", bound="Rectangle")


@dataclass(frozen=True)
class Rectangle:
    """Rows [top, bottom) and columns [left, right) of a grid of latents or pixels."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def grid(self) -> tuple[int, int]:
        """The height and width."""
        return self.bottom - self.top, self.right - self.left

    def slices(self, factor: int = 1) -> tuple[slice, slice]:
        """Return these rows and columns in a picture that is `factor` times as large as the whole grid."""
        return slice(factor * self.top, factor * self.bottom), slice(factor * self.left, factor * self.right)

    def of(self, array: npt.NDArray[T], factor: int = 1) -> npt.NDArray[T]:
        """Return the view of this rectangle in an array [..., factor * h, factor * w] of the whole grid."""
        return array[(..., *self.slices(factor))]

    def widened(self: R, grid: tuple[int, int], margin: int) -> R:
        """Return this rectangle with `margin` more on each side, as far as the grid (h, w) reaches."""
        return replace(
            self,
            top=max(0, self.top - margin),
            bottom=min(grid[0], self.bottom + margin),
            left=max(0, self.left - margin),
            right=min(grid[1], self.right + margin),
        )

    def within(self: R, other: Rectangle) -> R:
        """Return this rectangle as it lies in another one that surrounds it."""
        return self.moved(-other.top, -other.left)

    def moved(self: R, down: int, across: int) -> R:
        """Return this rectangle elsewhere."""
        return replace(
            self,
            top=self.top + down,
            bottom=self.bottom + down,
            left=self.left + across,
            right=self.right + across,
        )

    def enlarged(self, factor: int) -> Rectangle:
        """Return this rectangle in a picture that is `factor` times as large as the grid."""
        return Rectangle(factor * self.top, factor * self.bottom, factor * self.left, factor * self.right)

    def covered(self, factor: int) -> Rectangle:
        """Return what covers this rectangle of a picture in a grid that is `factor` times as small."""
        return Rectangle(self.top // factor, -(-self.bottom // factor), self.left // factor, -(-self.right // factor))

    def meets(self, other: Rectangle) -> bool:
        """Return whether the two have anything in common."""
        return min(self.meet(other).grid) > 0

    def meet(self, other: Rectangle) -> Rectangle:
        """Return what the two have in common."""
        return Rectangle(
            max(self.top, other.top),
            min(self.bottom, other.bottom),
            max(self.left, other.left),
            min(self.right, other.right),
        )


@dataclass(frozen=True)
class Tile(Rectangle):
    """A rectangle of latents and its place among `count` tiles, `columns` in a row."""

    number: int
    count: int
    columns: int

    def __str__(self) -> str:
        row, column = divmod(self.number, self.columns)
        return f"tile {self.number + 1} of {self.count} (row {row}, column {column})"


def tiles_of(grid: tuple[int, int], side: int) -> list[Tile]:
    """Return the tiles of a latent grid (h, w) in raster order; side 0 means one tile."""
    return _tiles(grid, side or grid[0], side or grid[1])


def even_tiles(grid: tuple[int, int], most: int) -> list[Tile]:
    """Return as few tiles as there are of at most so many latents a side, and these as equal as they can be."""
    down, across = (-(-length // -(-length // most)) for length in grid)
    return _tiles(grid, down, across)


def _tiles(grid: tuple[int, int], down: int, across: int) -> list[Tile]:
    height, width = grid
    rows, columns = -(-height // down), -(-width // across)
    return [
        Tile(
            number=row * columns + column,
            count=rows * columns,
            columns=columns,
            top=row * down,
            bottom=min(height, (row + 1) * down),
            left=column * across,
            right=min(width, (column + 1) * across),
        )
        for row in range(rows)
        for column in range(columns)
    ]


def write_streams(streams: list[tuple[int, bytes]]) -> bytes:
    """Return the index section of tiles, each with the CRC-32 of its indices and its rANS bytes."""
    return b"".join(varint(len(data)) + struct.pack("<I", crc) + data for crc, data in streams)


def read_streams(payload: bytes, count: int) -> list[tuple[int, bytes]]:
    """Return what write_streams wrote for `count` tiles; FormatError where the section holds less or more."""
    reader, streams = Reader(payload), []
    for number in range(count):
        what = f"tile {number + 1} of {count}"
        length = reader.varint(f"the length of {what}")
        (crc,) = struct.unpack("<I", reader.take(CRC_BYTES, what))
        streams.append((crc, reader.take(length, what)))
    if reader.position != len(payload):
        raise FormatError("the index section holds more than its tiles; the file is damaged")
    return streams
