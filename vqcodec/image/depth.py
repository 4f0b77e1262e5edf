"""How many bits per sample an image file has; Pillow reduces most deep files to 8 without a word."""

from __future__ import annotations

import re
from typing import Any, BinaryIO

_HEAD_BYTES = 1 << 16
_WIDE_MODE = re.compile(r"^(I|F)")
_RAW_16 = re.compile(r";16")


def bits_per_sample(format: str | None, mode: str, tile: Any, file: BinaryIO | None) -> int:
    """Return the bits of the widest sample, 8 where nothing says more.

    format and mode are Pillow's names, tile the arguments of its decoder, file the opened
    file, whose position is kept.
    """
    if _WIDE_MODE.match(mode) or _RAW_16.search(str(tile)):
        return 16
    if format == "PPM" and isinstance(tile, tuple) and tile and isinstance(tile[-1], int):
        return max(8, tile[-1].bit_length())
    if file is not None and format in ("AVIF", "JPEG2000"):
        head = _head(file)
        return _avif_bits(head) if format == "AVIF" else _jpeg2000_bits(head)
    return 8


def avif_code_points(data: bytes) -> tuple[int, int] | None:
    """Return the numbers of primaries and curve in the color box of an AVIF file, or None where it has none."""
    at = data.find(b"colrnclx", 0, _HEAD_BYTES)
    if at < 0 or at + 12 > len(data):
        return None
    return int.from_bytes(data[at + 8 : at + 10], "big"), int.from_bytes(data[at + 10 : at + 12], "big")


def _head(file: BinaryIO) -> bytes:
    position = file.tell()
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    file.seek(position)
    return head


def _avif_bits(head: bytes) -> int:
    """Read the two flags `high_bitdepth` and `twelve_bit` of the AV1 configuration box."""
    at = head.find(b"av1C")
    if at < 0 or at + 6 >= len(head):
        return 8
    flags = head[at + 6]
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def _jpeg2000_bits(head: bytes) -> int:
    """Read the first component's depth from the codestream's SIZ marker."""
    at = head.find(b"\xff\x4f\xff\x51")
    if at < 0 or at + 42 >= len(head):
        return 8
    return max(8, (head[at + 42] & 0x7F) + 1)
