"""Part of the reference decoder: sections, and what the optional ones say, FORMAT.md sections 2 and 2.1."""

from __future__ import annotations

import lzma
import zlib
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from reference_cursor import Cursor
from reference_rans import DecodeError, require

INDICES, PIXELS, OVERLAY, HALVED, ICC, COLOR, GRAY, ALPHA, EXIF, XMP = 1, 2, 3, 4, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86
KNOWN: Final = (INDICES, PIXELS, OVERLAY, HALVED, ICC, COLOR, GRAY, ALPHA, EXIF, XMP)
LENGTHS: Final = {COLOR: 1, GRAY: 0, HALVED: 0}  # of the payloads that always have the same
MAX_UNPACKED: Final = 1 << 24
LZMA: Final = {"id": lzma.FILTER_LZMA1, "dict_size": 1 << 22, "lc": 3, "lp": 0, "pb": 0}


class Said(NamedTuple):
    """What a file says of its picture besides the indices."""

    icc: bytes | None
    color: int | None
    gray: bool
    alpha: npt.NDArray[np.uint8] | None
    exif: bytes | None
    xmp: bytes | None


def read_sections(cursor: Cursor) -> dict[int, bytes]:
    """Walk over all sections; their payloads by type, the index section's among them."""
    payloads: dict[int, bytes] = {}
    while cursor.left:
        kind = cursor.byte("a section's type", "section")
        length = cursor.varint("length of a section", "section")
        payload = cursor.take(length, f"section 0x{kind:02x}", "section")
        known = kind in KNOWN
        require(known or kind >= 0x80, "section", f"Section 0x{kind:02x} is mandatory and unknown: a newer file.")
        require(not known or kind not in payloads, "section", f"Section 0x{kind:02x} is there twice.")
        payloads[kind] = payload
    found = (INDICES in payloads) + (PIXELS in payloads)
    require(found == 1, "section", f"The file has {found} sections of indices or pixels, and not one.")
    require(not {PIXELS, OVERLAY} <= payloads.keys(), "section", "The file has an overlay over pixels without loss.")
    require(not {PIXELS, HALVED} <= payloads.keys(), "section", "The file has half the size of pixels without loss.")
    for kind, length in LENGTHS.items():
        fits = kind not in payloads or len(payloads[kind]) == length
        require(fits, "section", f"Section 0x{kind:02x} has not {length} bytes.")
    require(not {ICC, COLOR} <= payloads.keys(), "section", "The file has an ICC profile and a color space.")
    return payloads


def read_said(payloads: dict[int, bytes], height: int, width: int) -> Said:
    """What optional sections say, in the order of the checks."""
    return Said(
        icc=unpack(payloads.get(ICC), "icc"),
        color=payloads[COLOR][0] if COLOR in payloads else None,
        gray=GRAY in payloads,
        alpha=unpack_alpha(payloads.get(ALPHA), height, width),
        exif=unpack(payloads.get(EXIF), "exif"),
        xmp=unpack(payloads.get(XMP), "xmp"),
    )


def unpack(payload: bytes | None, cause: str) -> bytes | None:
    """The bytes of a zlib stream, if there is one."""
    if payload is None:
        return None
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(payload, MAX_UNPACKED + 1)
    except zlib.error as fault:
        raise DecodeError(cause, f"The section {cause} cannot be unpacked ({fault}).") from fault
    fits = unpacker.eof and not unpacker.unused_data and len(data) <= MAX_UNPACKED
    require(fits, cause, f"The section {cause} is incomplete or too long.")
    return data


def unpack_lzma(stream: bytes, length: int, cause: str, settings: dict[str, int]) -> bytes:
    """The bytes in an LZMA stream, which must be as many as these."""
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[settings])
    try:
        data = unpacker.decompress(stream, length + 1)
    except lzma.LZMAError as fault:
        raise DecodeError(cause, f"The section {cause} cannot be unpacked ({fault}).") from fault
    fits = unpacker.eof and not unpacker.unused_data and len(data) == length
    require(fits, cause, f"The section {cause} is incomplete or not of the picture's size.")
    return data


def unpack_alpha(payload: bytes | None, height: int, width: int) -> npt.NDArray[np.uint8] | None:
    """Alpha uint8 [height, width], if there is any."""
    if payload is None:
        return None
    require(payload[:1] in (b"\0", b"\1"), "alpha", "The alpha is of an unknown kind: a newer file.")
    data = unpack_lzma(payload[1:], height * width, "alpha", LZMA)
    alpha = np.frombuffer(data, np.uint8).reshape(height, width).copy()
    if payload[0] == 1:
        for y in range(height):
            # A row of sums of differences, and above it the row that is done already.
            alpha[y] = np.cumsum(alpha[y], dtype=np.uint8) + (alpha[y - 1] if y else np.uint8(0))
    return alpha
