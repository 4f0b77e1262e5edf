"""The sections of a .vqc file: their types, and how streams of bytes lie in them. bitstream/FORMAT.md is the law."""

from __future__ import annotations

import zlib
from typing import NamedTuple

from vqcodec.errors import FormatError, InputError

OPTIONAL = 0x80
INDICES, PIXELS, OVERLAY, HALVED = 0x01, 0x02, 0x03, 0x04
ICC_PROFILE, COLOR_SPACE, GRAY, ALPHA, EXIF, XMP = 0x81, 0x82, 0x83, 0x84, 0x85, 0x86
SECTION_NAMES = {
    INDICES: "indices",
    PIXELS: "pixels",
    OVERLAY: "overlay",
    HALVED: "halved",
    ICC_PROFILE: "ICC profile",
    COLOR_SPACE: "color space",
    GRAY: "gray",
    ALPHA: "alpha",
    EXIF: "EXIF",
    XMP: "XMP",
}
MOST_STREAM_BYTES = 1 << 24
"""The most that an ICC profile, EXIF or XMP has, unpacked."""


class Section(NamedTuple):
    """One section: its type (bit 7 set where a reader may skip it) and its payload."""

    type: int
    payload: bytes


def pack_stream(type: int, data: bytes) -> Section:
    """Return a section that holds bytes as a zlib stream; InputError where they are more than a file holds."""
    if len(data) > MOST_STREAM_BYTES:
        raise InputError(f"the {SECTION_NAMES[type]} has {len(data):,} bytes, a file holds at most 2^24; leave it out")
    return Section(type, zlib.compress(data, 9))


def unpack_stream(section: Section) -> bytes:
    """Return the bytes in such a section; FormatError where they are damaged, or more than a file holds."""
    unpacker, name = zlib.decompressobj(), SECTION_NAMES[section.type]
    try:
        data = unpacker.decompress(section.payload, MOST_STREAM_BYTES + 1)
    except zlib.error as error:
        raise FormatError(f"the {name} section cannot be unpacked; the file is damaged") from error
    if not unpacker.eof or unpacker.unused_data or len(data) > MOST_STREAM_BYTES:
        raise FormatError(f"the {name} section is too long or incomplete; the file is damaged")
    return data
