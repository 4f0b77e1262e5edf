"""The pixels of a drawn picture without loss: a palette and its indices in an LZMA stream.

Lettering and screens repeat themselves, which LZMA finds in indices better than in samples. bitstream/FORMAT.md is the
law.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vqcodec.errors import FormatError
from vqcodec.exact.bitstream import raw_lzma
from vqcodec.exact.bitstream.header import Reader, varint

Pixels = npt.NDArray[np.uint8]
MOST_COLORS = 1 << 16
_ALL_COLORS = 1 << 24
_COLOR_BYTES = 3
_ROWS = 256
"""Rows that are worked on at a time: NumPy's indices take eight bytes each."""


def pack_pixels(pixels: Pixels) -> bytes | None:
    """Return the payload for pixels uint8 [H, W, 3]; None where they have more than MOST_COLORS colors."""
    seen = np.zeros(_ALL_COLORS, bool)
    for rows in _strips(pixels):
        seen[_as_numbers(rows)] = True
    colors = np.flatnonzero(seen)
    if len(colors) > MOST_COLORS:
        return None
    palette = _as_bytes(np.diff(colors, prepend=0)).tobytes()
    if len(colors) == 1:
        return varint(1) + palette
    size = _index_bytes(len(colors))
    places = np.empty(_ALL_COLORS, f">u{size}")
    places[colors] = np.arange(len(colors))
    indices = [places[_as_numbers(rows)].tobytes() for rows in _strips(pixels)]
    return varint(len(colors)) + raw_lzma.pack(b"".join([*indices, palette]), step=size, extreme=True)


def unpack_pixels(payload: bytes, height: int, width: int, *, is_gray: bool = False) -> Pixels:
    """Return pixels uint8 [height, width, 3]; FormatError where they are damaged or of another size.

    is_gray: whether their palette must have grays alone, else FormatError too.
    """
    reader = Reader(payload)
    count = reader.varint("the number of colors")
    if not 1 <= count <= MOST_COLORS:
        raise FormatError(f"the pixels say {count} colors, which is outside 1..{MOST_COLORS}; the file is damaged")
    rest = payload[reader.position :]
    if count == 1:
        return np.tile(_only_color(rest, is_gray), (height, width, 1))
    size = _index_bytes(count)
    index_bytes = size * height * width
    data = raw_lzma.unpack(rest, index_bytes + _COLOR_BYTES * count, "pixels", step=size)
    palette = _palette(data[index_bytes:], is_gray)
    indices = np.frombuffer(data, f">u{size}", height * width).reshape(height, width)
    if indices.max() >= count:
        raise FormatError("the pixels have a color that their palette has not; the file is damaged")
    pixels = np.empty((height, width, _COLOR_BYTES), np.uint8)
    for rows, place in zip(_strips(pixels), _strips(indices), strict=True):
        rows[:] = palette[place]
    return pixels


def _only_color(data: bytes, is_gray: bool) -> Pixels:
    if len(data) != _COLOR_BYTES:
        raise FormatError("the pixels of one color are not three bytes; the file is damaged")
    return _palette(data, is_gray)


def _palette(data: bytes, is_gray: bool) -> Pixels:
    """Return the colors uint8 [n, 3] of differences of their numbers; FormatError where they are no palette."""
    differences = _as_numbers(np.frombuffer(data, np.uint8).reshape(-1, _COLOR_BYTES)).astype(np.int64)
    colors = np.cumsum(differences)
    if not differences[1:].all() or colors[-1] >= _ALL_COLORS:
        raise FormatError("the palette of the pixels is not in order; the file is damaged")
    palette = _as_bytes(colors)
    if is_gray and (palette != palette[:, :1]).any():
        raise FormatError("the palette of the pixels of a gray picture has other colors; the file is damaged")
    return palette


def _index_bytes(count: int) -> int:
    return 1 if count <= 256 else 2


def _as_bytes(numbers: npt.NDArray[np.int64]) -> Pixels:
    """Return numbers below 2^24 as bytes uint8 [n, 3], the highest first."""
    return numbers.astype(">u4").view(np.uint8).reshape(-1, 4)[:, 1:]


def _as_numbers(colors: Pixels) -> npt.NDArray[np.uint32]:
    """Return colors uint8 [..., 3] as numbers below 2^24, red first."""
    red, green, blue = (colors[..., channel].astype(np.uint32) for channel in range(_COLOR_BYTES))
    numbers: npt.NDArray[np.uint32] = red << np.uint32(16) | green << np.uint32(8) | blue
    return numbers


def _strips(array: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    return [array[top : top + _ROWS] for top in range(0, len(array), _ROWS)]
