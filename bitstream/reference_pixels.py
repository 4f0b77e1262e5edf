"""Part of the reference decoder: pixels that are stored without loss, FORMAT.md sections 2.2 and 2.3."""

from __future__ import annotations

import zlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from reference_cursor import Cursor
from reference_rans import require
from reference_sections import LZMA, unpack_lzma

MAX_COLORS: Final = 1 << 16


def unpack_pixels(payload: bytes, height: int, width: int, gray: bool) -> npt.NDArray[np.uint8]:
    """Pixels uint8 [height, width, 3], whose palette has grays alone if the file says gray."""
    cursor = Cursor(payload)
    count = cursor.varint("of the number of colors", "pixels")
    require(1 <= count <= MAX_COLORS, "pixels", f"The pixels have {count} colors.")
    if count == 1:
        color = read_palette(cursor.take(3, "the only color", "pixels"), gray, "pixels")
        require(cursor.left == 0, "pixels", "Bytes follow the only color.")
        return paint(np.zeros((height, width), np.uint8), color)
    area = height * width
    data = unpack_lzma(payload[cursor.position :], size_of(count) * area + 3 * count, "pixels", settings_of(count))
    indices = read_indices(data, height, width, count, "pixels")
    return paint(indices, read_palette(data[indices.nbytes :], gray, "pixels"))


def unpack_overlay(payload: bytes, height: int, width: int, gray: bool) -> npt.NDArray[np.uint8]:
    """Pixels uint8 [height, width, 4]: red, green and blue, and 255 where they count; elsewhere all are 0."""
    cursor = Cursor(payload)
    checksum = int.from_bytes(cursor.take(4, "the checksum", "overlay"), "little")
    count = cursor.varint("of the number of colors", "overlay")
    require(1 <= count < MAX_COLORS, "overlay", f"The overlay has {count} colors.")
    area, values = height * width, count + 1
    data = unpack_lzma(payload[cursor.position :], size_of(values) * area + 3 * count, "overlay", settings_of(values))
    require(zlib.crc32(data) == checksum, "overlay", "The overlay does not match its checksum.")
    indices = read_indices(data, height, width, values, "overlay")
    palette = read_palette(data[indices.nbytes :], gray, "overlay")
    colors = np.zeros((values, 4), np.uint8)
    colors[:count, :3], colors[:count, 3] = palette, 255
    return paint(indices, colors)


def size_of(values: int) -> int:
    """How many bytes an index of so many values has."""
    return 1 if values <= 256 else 2


def settings_of(values: int) -> dict[str, int]:
    """The settings of the stream of such indices."""
    return LZMA | {"lp": 1, "pb": 1} if values > 256 else LZMA


def read_indices(data: bytes, height: int, width: int, values: int, cause: str) -> npt.NDArray[np.integer[Any]]:
    """The indices [height, width] at the beginning of what a stream held."""
    indices = np.frombuffer(data, ">u2" if size_of(values) == 2 else "u1", height * width)
    require(int(indices.max()) < values, cause, "There is a color that the palette has not.")
    return indices.reshape(height, width)


def read_palette(data: bytes, gray: bool, cause: str) -> npt.NDArray[np.uint8]:
    """Colors uint8 [n, 3] out of their differences."""
    colors, last = [], 0
    for at in range(0, len(data), 3):
        step = int.from_bytes(data[at : at + 3], "big")
        require(step > 0 or at == 0, cause, f"Color {at // 3} of the palette is not above the one before.")
        last += step
        require(last < 1 << 24, cause, f"Color {at // 3} of the palette is none.")
        colors.append(list(last.to_bytes(3, "big")))
        require(not gray or len(set(colors[-1])) == 1, cause, f"Color {at // 3} of the palette is no gray.")
    return np.array(colors, np.uint8)


def paint(indices: npt.NDArray[np.integer[Any]], colors: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The colors uint8 [height, width, n] of indices, row by row."""
    return np.stack([colors[row] for row in indices])
