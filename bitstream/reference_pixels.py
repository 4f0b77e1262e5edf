"""Part of the reference decoder: pixels that are stored without loss, FORMAT.md section 2.2."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from reference_cursor import Cursor
from reference_rans import require
from reference_sections import LZMA, unpack_lzma

CAUSE: Final = "pixels"
MAX_COLORS: Final = 1 << 16


def unpack_pixels(payload: bytes, height: int, width: int, gray: bool) -> npt.NDArray[np.uint8]:
    """Pixels uint8 [height, width, 3], whose palette has grays alone if the file says gray."""
    cursor = Cursor(payload)
    count = cursor.varint("of the number of colors", CAUSE)
    require(1 <= count <= MAX_COLORS, CAUSE, f"The pixels have {count} colors.")
    pixels = np.empty((height, width, 3), np.uint8)
    if count == 1:
        pixels[:] = read_palette(cursor.take(3, "the only color", CAUSE), gray)[0]
        require(cursor.left == 0, CAUSE, "Bytes follow the only color.")
        return pixels
    wide = count > 256
    area = height * width
    settings = LZMA | {"lp": 1, "pb": 1} if wide else LZMA
    data = unpack_lzma(payload[cursor.position :], area * (1 + wide) + 3 * count, CAUSE, settings)
    indices = np.frombuffer(data, ">u2" if wide else "u1", area)
    require(int(indices.max()) < count, CAUSE, "The pixels have a color that their palette has not.")
    palette = read_palette(data[indices.nbytes :], gray)
    for y in range(height):
        pixels[y] = palette[indices[y * width : (y + 1) * width]]
    return pixels


def read_palette(data: bytes, gray: bool) -> npt.NDArray[np.uint8]:
    """Colors uint8 [n, 3] out of their differences."""
    colors, last = [], 0
    for at in range(0, len(data), 3):
        step = int.from_bytes(data[at : at + 3], "big")
        require(step > 0 or at == 0, CAUSE, f"Color {at // 3} of the palette is not above the one before.")
        last += step
        require(last < 1 << 24, CAUSE, f"Color {at // 3} of the palette is none.")
        colors.append(list(last.to_bytes(3, "big")))
        require(not gray or len(set(colors[-1])) == 1, CAUSE, f"Color {at // 3} of the palette is no gray.")
    return np.array(colors, np.uint8)
