"""Drawn pixels without loss, of a whole picture or over one: a palette and its indices in an LZMA stream.

Lettering and screens repeat themselves, which LZMA finds in indices better than in samples. bitstream/FORMAT.md is the
law.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vqcodec.errors import FormatError
from vqcodec.exact.bitstream import raw_lzma
from vqcodec.exact.bitstream.header import Reader, varint

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]
MOST_COLORS = 1 << 16
_ALL_COLORS = 1 << 24
_COLOR_BYTES, _CRC_BYTES = 3, 4
_ROWS = 256
"""Rows that are worked on at a time: NumPy's indices take eight bytes each."""


class Overlay(NamedTuple):
    """Pixels over a picture: uint8 [H, W, 3], and bool [H, W], where they are; what they are elsewhere says nothing."""

    pixels: Pixels
    drawn: Mask

    def lay(self, under: Pixels, place: tuple[slice, slice]) -> None:
        """Lay what is at `place` over pixels uint8 [h, w, 3] that show it, in these."""
        np.copyto(under, self.pixels[place], where=self.drawn[place][..., None])


def pack_pixels(pixels: Pixels) -> bytes | None:
    """Return the payload for pixels uint8 [H, W, 3]; None where they have more than MOST_COLORS colors."""
    colors = _colors_of(_strips(pixels))
    if len(colors) > MOST_COLORS:
        return None
    if len(colors) == 1:
        return varint(1) + _differences(colors)
    return varint(len(colors)) + _stream(_data(pixels, colors, None), len(colors))


def unpack_pixels(payload: bytes, height: int, width: int, *, is_gray: bool = False) -> Pixels:
    """Return pixels uint8 [height, width, 3]; FormatError where they are damaged or of another size.

    is_gray: whether their palette must have grays alone, else FormatError too.
    """
    count, rest = _count(payload, MOST_COLORS, "pixels")
    if count == 1:
        return np.tile(_only_color(rest, is_gray), (height, width, 1))
    data = _unpacked(rest, height * width, count, count, "pixels")
    return _painted(*_split(data, height, width, count, "pixels", is_gray))


def pack_overlay(overlay: Overlay) -> bytes | None:
    """Return the payload for an overlay; None where it has no color, or MOST_COLORS and more."""
    colors = _colors_of([overlay.pixels[overlay.drawn]])
    if not 1 <= len(colors) < MOST_COLORS:
        return None
    data = _data(overlay.pixels, colors, overlay.drawn)
    return struct.pack("<I", zlib.crc32(data)) + varint(len(colors)) + _stream(data, len(colors) + 1)


def unpack_overlay(payload: bytes, height: int, width: int, *, is_gray: bool = False) -> Overlay:
    """Return the overlay of a picture of height x width; FormatError as for `unpack_pixels`, or of its checksum."""
    if len(payload) < _CRC_BYTES:
        raise FormatError("the overlay ends inside its checksum; the file is damaged")
    count, rest = _count(payload[_CRC_BYTES:], MOST_COLORS - 1, "overlay")
    data = _unpacked(rest, height * width, count + 1, count, "overlay")
    if struct.pack("<I", zlib.crc32(data)) != payload[:_CRC_BYTES]:
        raise FormatError("the overlay does not match its checksum; the file is damaged")
    indices, palette = _split(data, height, width, count + 1, "overlay", is_gray)
    nothing = np.zeros((1, _COLOR_BYTES), np.uint8)
    return Overlay(_painted(indices, np.concatenate([palette, nothing])), indices < count)


def _colors_of(parts: Iterable[Pixels]) -> Numbers:
    """Return the numbers of all colors in pixels uint8 [..., 3], rising."""
    seen = np.zeros(_ALL_COLORS, bool)
    for part in parts:
        seen[_as_numbers(part)] = True
    return np.flatnonzero(seen)


def _data(pixels: Pixels, colors: Numbers, drawn: Mask | None) -> bytes:
    """Return the indices of pixels and the palette; where they are not drawn the index is the number of colors."""
    places = np.empty(_ALL_COLORS, f">u{_index_bytes(len(colors) + (drawn is not None))}")
    places[colors] = np.arange(len(colors))
    parts = []
    for top in range(0, len(pixels), _ROWS):
        indices = places[_as_numbers(pixels[top : top + _ROWS])]
        if drawn is not None:
            indices[~drawn[top : top + _ROWS]] = len(colors)
        parts.append(indices.tobytes())
    return b"".join([*parts, _differences(colors)])


def _differences(colors: Numbers) -> bytes:
    return _as_bytes(np.diff(colors, prepend=0)).tobytes()


def _stream(data: bytes, values: int) -> bytes:
    """Return the LZMA stream of indices of so many values, and what is behind them."""
    return raw_lzma.pack(data, step=_index_bytes(values), extreme=True)


def _count(payload: bytes, most: int, what: str) -> tuple[int, bytes]:
    """Return the number of colors and what follows it; FormatError where it is not 1..most."""
    reader = Reader(payload)
    count = reader.varint("the number of colors")
    if not 1 <= count <= most:
        raise FormatError(f"the {what} section says {count} colors, which is outside 1..{most}; the file is damaged")
    return count, payload[reader.position :]


def _unpacked(stream: bytes, area: int, values: int, colors: int, what: str) -> bytes:
    """Return as many indices of so many values, and a palette, as a stream must hold; else FormatError."""
    size = _index_bytes(values)
    return raw_lzma.unpack(stream, size * area + _COLOR_BYTES * colors, what, step=size)


def _split(data: bytes, height: int, width: int, values: int, what: str, is_gray: bool) -> tuple[Indices, Pixels]:
    """Return indices [height, width] below `values` and their palette; FormatError where they are none."""
    size = _index_bytes(values)
    indices = np.frombuffer(data, f">u{size}", height * width).reshape(height, width)
    if indices.max() >= values:
        raise FormatError(f"the {what} section has a color that its palette has not; the file is damaged")
    return indices, _palette(data[indices.nbytes :], is_gray)


def _painted(indices: Indices, palette: Pixels) -> Pixels:
    """Return the pixels uint8 [H, W, 3] of indices [H, W]."""
    pixels = np.empty((*indices.shape, _COLOR_BYTES), np.uint8)
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
        raise FormatError("the palette is not in order; the file is damaged")
    palette = _as_bytes(colors)
    if is_gray and (palette != palette[:, :1]).any():
        raise FormatError("the palette of a gray picture has other colors; the file is damaged")
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
