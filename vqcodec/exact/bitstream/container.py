"""A .vqc file as a whole: header, sections, CRC. bitstream/FORMAT.md is the law."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vqcodec.errors import FormatError, InputError
from vqcodec.exact.bitstream import profiles
from vqcodec.exact.bitstream.header import Header, Reader, read_header, read_version, varint

INDICES = 0x01
ICC_PROFILE = 0x81
OPTIONAL = 0x80
CRC_BYTES = 4
MAX_ICC_BYTES = 1 << 24
COLOR_SPACE = 0x82
SECTION_NAMES = {INDICES: "indices", ICC_PROFILE: "ICC profile", COLOR_SPACE: "color space"}


class Section(NamedTuple):
    """One section: its type (bit 7 set where a reader may skip it) and its payload."""

    type: int
    payload: bytes


@dataclass(frozen=True)
class Container:
    """A parsed file; `sections` holds the known ones in file order."""

    header: Header
    sections: tuple[Section, ...]
    size_bytes: int

    @property
    def indices(self) -> bytes:
        """The rANS bytes of the indices."""
        return next(section.payload for section in self.sections if section.type == INDICES)

    @property
    def icc(self) -> bytes | None:
        """The ICC profile, unpacked or made of its number, or None: the pixels are sRGB."""
        for section in self.sections:
            if section.type == ICC_PROFILE:
                return _unpack_icc(section.payload)
            if section.type == COLOR_SPACE and section.payload[0] in profiles.SPACES:
                return profiles.profile(profiles.SPACES[section.payload[0]])
        return None


def write(header: Header, indices: bytes, icc: bytes | None = None) -> bytes:
    """Return a complete .vqc file; InputError for a profile that is too long for one.

    A profile that `profiles` makes of a number becomes that number.
    """
    sections = [Section(INDICES, indices)]
    if icc and len(icc) > MAX_ICC_BYTES:
        raise InputError(f"the ICC profile has {len(icc):,} bytes, a file holds at most 2^24; leave it out")
    number = profiles.numbered().get(icc) if icc else None
    if number is not None:
        sections.append(Section(COLOR_SPACE, bytes([number])))
    elif icc:
        sections.append(Section(ICC_PROFILE, zlib.compress(icc, 9)))
    return write_sections(header, sections)


def write_sections(header: Header, sections: Sequence[Section]) -> bytes:
    """Return a file of these sections in this order, closed by its CRC-32."""
    parts = [header.pack()]
    for section in sections:
        parts += [bytes([section.type]), varint(len(section.payload)), section.payload]
    body = b"".join(parts)
    return body + struct.pack("<I", zlib.crc32(body))


def read(data: bytes) -> Container:
    """Parse a .vqc file; raise FormatError for the first thing that is wrong with it."""
    reader = read_version(bytes(data))
    if len(data) < reader.position + CRC_BYTES:
        raise FormatError("the file ends inside the header; it is truncated")
    body = data[:-CRC_BYTES]
    if struct.pack("<I", zlib.crc32(body)) != data[-CRC_BYTES:]:
        raise FormatError("the file's checksum does not match; it is truncated or damaged")
    reader.data = body
    header = read_header(reader)
    return Container(header, tuple(_read_sections(reader)), len(data))


def _read_sections(reader: Reader) -> list[Section]:
    sections: list[Section] = []
    while reader.position < len(reader.data):
        kind = reader.take(1, "a section")[0]
        payload = reader.take(reader.varint("a section's length"), "a section")
        if kind in SECTION_NAMES:
            if any(section.type == kind for section in sections):
                raise FormatError(f"the file has two {SECTION_NAMES[kind]} sections")
            sections.append(Section(kind, payload))
        elif not kind & OPTIONAL:
            raise FormatError(f"the file has a section of type {kind} that this vqc does not know; update vqc")
    _check_sections({section.type: section.payload for section in sections})
    return sections


def _check_sections(payloads: dict[int, bytes]) -> None:
    if INDICES not in payloads:
        raise FormatError("the file has no index section; it is damaged")
    if len(payloads.get(COLOR_SPACE, b"1")) != 1:
        raise FormatError("the color space section is not one byte; the file is damaged")
    if {ICC_PROFILE, COLOR_SPACE} <= payloads.keys():
        raise FormatError("the file has an ICC profile and a color space, of which one is right; it is damaged")


def _unpack_icc(payload: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(payload, MAX_ICC_BYTES + 1)
    except zlib.error as error:
        raise FormatError("the ICC profile section cannot be unpacked; the file is damaged") from error
    if not unpacker.eof or unpacker.unused_data or len(profile) > MAX_ICC_BYTES:
        raise FormatError("the ICC profile section is too long or incomplete; the file is damaged")
    return profile
