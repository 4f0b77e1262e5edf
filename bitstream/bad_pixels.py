"""The faulty files among the test vectors that have pixels without loss, in the place of indices or over them."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from bad_vectors import INDEX_CRC, PRIOR, SECTIONS, Fault, patch, seal, section

from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.sections import GRAY, HALVED, INDICES, OVERLAY, PIXELS

WIDTH, HEIGHT = 20, 17
AREA: Final = WIDTH * HEIGHT
LZMA: Final[dict[str, Any]] = {"id": lzma.FILTER_LZMA1, "preset": 9, "dict_size": 1 << 22, "lc": 3, "lp": 0, "pb": 0}
TWO: Final = bytes(3) + b"\0\0\1"
"""A palette of two colors: the numbers 0 and 1."""


def bad_pixel_files(good: Mapping[str, bytes]) -> Iterator[Fault]:
    """All bad files, in the order of the checks that find them."""
    data = good["plain_pixels"]
    header, payload = data[:SECTIONS], container.read(data).pixels
    assert payload is not None
    whole = section(PIXELS, payload)
    for name, new, about in (
        ("two_pixels", whole + whole, "pixels twice"),
        ("pixels_and_indices", whole + section(INDICES, b""), "pixels and indices"),
        ("pixels_half", whole + section(HALVED, b""), "pixels, and half the width and height"),
    ):
        yield Fault(name, "section", about, seal(header + new))
    yield Fault("pixels_tiled", "section", "pixels, and a tile code", patch(data, PRIOR, b"\x08"))
    for name, new, about in _payloads(payload):
        yield Fault(f"pixels_{name}", "pixels", f"pixels {about}", seal(header + section(PIXELS, new)))
    gray = header + section(GRAY, b"")
    for name, new in (("colors", payload), ("one_color", b"\1\0\0\1")):
        yield Fault(f"gray_{name}", "pixels", "pixels of colors, and a gray section", seal(gray + section(PIXELS, new)))
    other = patch(data, INDEX_CRC, bytes(4), 4)
    yield Fault("pixels_crc", "index_crc", "the checksum of the pixels is wrong", other)


def _payloads(payload: bytes) -> Iterator[tuple[str, bytes, str]]:
    yield "empty", b"", "of no bytes"
    yield "no_color", b"\0" + payload[1:], "of no colors"
    yield "many_colors", b"\x81\x80\4" + payload[1:], "of 65537 colors"
    yield "count_long", b"\x87\0" + payload[1:], "whose number of colors is not in its shortest form"
    yield "flat_cut", b"\1\0\0", "of one color of two bytes"
    yield "flat_more", b"\1\0\0\0\0", "of one color of four bytes"
    yield "not_lzma", b"\7" + b"\xff" * 40, "that are no LZMA stream"
    yield "cut", payload[:-1], "whose stream is cut"
    yield "more", payload + b"\0", "with a byte behind their stream"
    yield from _streams(_packed, b"\2", "their")


def bad_overlay_files(good: Mapping[str, bytes]) -> Iterator[Fault]:
    """All bad files with an overlay, in the order of the checks that find them."""
    data = good["plain_overlay"]
    parsed = container.read(data)
    payload = parsed.overlay
    assert payload is not None
    header, indices = data[:SECTIONS], section(INDICES, parsed.indices)
    whole = section(OVERLAY, payload)
    pixels = container.read(good["plain_pixels"]).pixels
    assert pixels is not None
    for name, new, about in (
        ("two_overlays", indices + whole + whole, "two overlays"),
        ("overlay_and_pixels", section(PIXELS, pixels) + whole, "an overlay over pixels without loss"),
        ("overlay_alone", whole, "an overlay and no indices"),
    ):
        yield Fault(name, "section", about, seal(header + new))
    for name, new, about in _overlays(payload):
        yield Fault(f"overlay_{name}", "overlay", f"an overlay {about}", seal(header + indices + section(OVERLAY, new)))
    gray = header + indices + whole + section(GRAY, b"")
    yield Fault("gray_overlay", "overlay", "an overlay of colors, and a gray section", seal(gray))
    both = header[:INDEX_CRC] + bytes(4) + indices + section(OVERLAY, b"")
    yield Fault(
        "overlay_and_index_crc", "index_crc", "a wrong index checksum, which comes before an overlay", seal(both)
    )


def _overlays(payload: bytes) -> Iterator[tuple[str, bytes, str]]:
    yield "empty", b"", "of no bytes"
    yield "no_count", payload[:4], "that ends behind its checksum"
    yield "no_color", payload[:4] + b"\0" + payload[5:], "of no colors"
    yield "many_colors", payload[:4] + b"\x80\x80\4" + payload[5:], "of 65536 colors"
    yield "count_long", payload[:4] + b"\x87\0" + payload[5:], "whose number of colors is not in its shortest form"
    yield "crc", bytes(4) + payload[4:], "of another checksum"
    yield "not_lzma", payload[:5] + b"\xff" * 40, "that is no LZMA stream"
    yield "cut", payload[:-1], "whose stream is cut"
    yield "more", payload + b"\0", "with a byte behind its stream"
    yield from _streams(_summed, b"\3", "its")


def _summed(colors: int, unpacked: bytes) -> bytes:
    return zlib.crc32(unpacked).to_bytes(4, "little") + _packed(colors, unpacked)


def _packed(colors: int, unpacked: bytes) -> bytes:
    return bytes([colors]) + lzma.compress(unpacked, lzma.FORMAT_RAW, filters=[LZMA])


def _streams(packed: Callable[[int, bytes], bytes], beyond: bytes, whose: str) -> Iterator[tuple[str, bytes, str]]:
    """Payloads of whole streams that say what makes no sense; `beyond` is the first index that has no meaning."""
    yield "small", packed(2, bytes(AREA - 1) + TWO), "of a pixel too few"
    yield "large", packed(2, bytes(AREA + 1) + TWO), "of a pixel too many"
    yield "bomb", packed(2, bytes(1 << 24) + TWO), "of 2^24 pixels in a picture of 340"
    yield "no_such_color", packed(2, beyond + bytes(AREA - 1) + TWO), "of a color that the palette has not"
    yield "equal_colors", packed(2, bytes(AREA) + bytes(6)), f"with two equal colors in {whose} palette"
    yield "high_color", packed(2, bytes(AREA) + b"\xff\xff\xff" + b"\0\0\1"), f"with a color of 2^24 in {whose} palette"
