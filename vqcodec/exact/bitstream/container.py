"""A .vqc file as a whole: header, sections, CRC. bitstream/FORMAT.md is the law."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from vqcodec.errors import FormatError, InputError
from vqcodec.exact.bitstream.ancillary import Ancillary, unpack_icc, unpack_sections
from vqcodec.exact.bitstream.header import Header, Reader, read_header, read_version, varint
from vqcodec.exact.bitstream.sections import (
    ALPHA,
    COLOR_SPACE,
    GRAY,
    HALVED,
    ICC_PROFILE,
    INDICES,
    OPTIONAL,
    OVERLAY,
    PIXELS,
    SECTION_NAMES,
    Section,
)

CRC_BYTES = 4
NOTHING = Ancillary()


@dataclass(frozen=True)
class Container:
    """A parsed file; `sections` holds the known ones in file order."""

    header: Header
    sections: tuple[Section, ...]
    size_bytes: int

    @property
    def indices(self) -> bytes:
        """The rANS bytes of the indices; InputError for a file that has pixels in their place."""
        if INDICES not in self._by_type:
            raise InputError(
                "the file has no indices, its pixels are stored without loss; compress with --lossy for some"
            )
        return self._by_type[INDICES].payload

    @property
    def pixels(self) -> bytes | None:
        """The stream of the pixels, or None where the file has indices."""
        return self._payload(PIXELS)

    @property
    def overlay(self) -> bytes | None:
        """What is drawn over the picture that the indices give, packed, or None."""
        return self._payload(OVERLAY)

    @property
    def is_halved(self) -> bool:
        """Whether the indices are of the picture at half its width and height."""
        return HALVED in self._by_type

    @property
    def icc(self) -> bytes | None:
        """The ICC profile, unpacked or made of its number, or None: the pixels are sRGB."""
        return unpack_icc(self._by_type)

    @property
    def ancillary(self) -> Ancillary:
        """All optional sections, unpacked; FormatError for the first that is damaged, in the order of FORMAT.md."""
        return unpack_sections(self._by_type, self.header.height, self.header.width)

    @property
    def without_alpha(self) -> Ancillary:
        """The same without alpha, which alone can be as large as the picture is; what `has_alpha` says is left."""
        sections = {type: section for type, section in self._by_type.items() if type != ALPHA}
        return unpack_sections(sections, self.header.height, self.header.width)

    @property
    def has_alpha(self) -> bool:
        """Whether there is an alpha section; it may still be damaged."""
        return ALPHA in self._by_type

    @property
    def is_gray(self) -> bool:
        """Whether the picture has no colors."""
        return GRAY in self._by_type

    def _payload(self, type: int) -> bytes | None:
        section = self._by_type.get(type)
        return None if section is None else section.payload

    @property
    def _by_type(self) -> dict[int, Section]:
        return {section.type: section for section in self.sections}


def write(
    header: Header,
    indices: bytes,
    ancillary: Ancillary = NOTHING,
    overlay: bytes | None = None,
    is_halved: bool = False,
) -> bytes:
    """Return a complete .vqc file; InputError for what is too long for one."""
    halved = [Section(HALVED, b"")] if is_halved else []
    drawn = [] if overlay is None else [Section(OVERLAY, overlay)]
    return write_sections(header, [*halved, Section(INDICES, indices), *drawn, *ancillary.sections])


def write_sections(header: Header, sections: Iterable[Section]) -> bytes:
    """Return a file of these sections in this order, closed by its CRC-32."""
    body = header.pack() + pack_sections(sections)
    return body + struct.pack("<I", zlib.crc32(body))


def pack_sections(sections: Iterable[Section]) -> bytes:
    """Return the bytes of these sections in this order."""
    return b"".join(bytes([type]) + varint(len(payload)) + payload for type, payload in sections)


def read(data: bytes | bytearray | memoryview) -> Container:
    """Parse a .vqc file; FormatError for the first thing that is wrong with it, InputError for what is no bytes."""
    data = _as_bytes(data)
    reader = read_version(data)
    if len(data) < reader.position + CRC_BYTES:
        raise FormatError("the file ends inside the header; it is truncated")
    body = data[:-CRC_BYTES]
    if struct.pack("<I", zlib.crc32(body)) != data[-CRC_BYTES:]:
        raise FormatError("the file's checksum does not match; it is truncated or damaged")
    reader.data = body
    header, sections = read_header(reader), read_sections(reader)
    _check_content(header, {section.type for section in sections})
    return Container(header, sections, len(data))


def _check_content(header: Header, types: set[int]) -> None:
    """Raise FormatError for a file that has not either indices or pixels, or beside pixels what goes with indices."""
    if not types & {INDICES, PIXELS}:
        raise FormatError("the file has no index section and no pixels; it is damaged")
    if {INDICES, PIXELS} <= types:
        raise FormatError("the file has indices and pixels, of which one is right; it is damaged")
    if {PIXELS, OVERLAY} <= types:
        raise FormatError("the file has an overlay over pixels that are without loss already; it is damaged")
    if {PIXELS, HALVED} <= types:
        raise FormatError("the file says half the size of pixels that are without loss; it is damaged")
    if PIXELS in types and header.tile:
        raise FormatError("the header says tiles, of which pixels without loss have none; the file is damaged")


def _as_bytes(data: object) -> bytes:
    """Return bytes-like data as bytes, which all that reads parts of them relies on."""
    if isinstance(data, bytes):
        return data
    try:
        return memoryview(data).tobytes()  # type: ignore[arg-type]
    except TypeError as error:
        kind = type(data).__name__
        raise InputError(f"a {kind} is not the bytes of a .vqc file; give what Path.read_bytes returns") from error


def read_sections(reader: Reader) -> tuple[Section, ...]:
    """Return the known ones of all sections up to the end; FormatError for what contradicts itself."""
    sections: dict[int, Section] = {}
    while reader.position < len(reader.data):
        kind = reader.take(1, "a section")[0]
        payload = reader.take(reader.varint("a section's length"), "a section")
        if kind in sections:
            raise FormatError(f"the file has two {SECTION_NAMES[kind]} sections")
        if kind in SECTION_NAMES:
            sections[kind] = Section(kind, payload)
        elif not kind & OPTIONAL:
            raise FormatError(f"the file has a section of type {kind} that this vqc does not know; update vqc")
    _check_sections(sections)
    return tuple(sections.values())


def _check_sections(sections: dict[int, Section]) -> None:
    if COLOR_SPACE in sections and len(sections[COLOR_SPACE].payload) != 1:
        raise FormatError("the color space section is not one byte; the file is damaged")
    if {ICC_PROFILE, COLOR_SPACE} <= sections.keys():
        raise FormatError("the file has an ICC profile and a color space, of which one is right; it is damaged")
    for kind in (GRAY, HALVED):
        if kind in sections and sections[kind].payload:
            raise FormatError(f"the {SECTION_NAMES[kind]} section is not empty; the file is damaged")
