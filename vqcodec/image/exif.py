"""EXIF, edited in place: orientation, thumbnail and GPS go, and every other byte stays where it was.

EXIF is a TIFF file of directories that point into it by offsets, and so do the notes of camera makers, of which only
they know how. Nothing is moved, therefore: what goes is overwritten by zeros, which cost nothing when they are packed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Range = tuple[int, int]
PREFIX = b"Exif\0\0"
"""What stands before EXIF in a JPEG, and in what Pillow calls EXIF."""
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_SIZES = (1, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4)
"""Bytes of a value of each type of TIFF."""
_SHORT, _RATIONAL = 3, 5
ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _UNIT = 0x0112, 0x011A, 0x011B, 0x0128
_EXIF, _GPS, _INTEROPERABILITY = 0x8769, 0x8825, 0xA005
_THUMBNAIL = ((0x0201, 0x0202), (0x0111, 0x0117))
"""Tags of a thumbnail's place and length: of a JPEG, of plain samples."""
_INCH = 2
"""The unit of a resolution, also where EXIF says none."""
_PER_INCH = {_INCH: 1.0, 3: 2.54}
_OF_TIFF = (0x010D, 0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298)
"""Tags of a TIFF that tell something: names, description, make, model, software, date, artist, host, copyright."""


class _Entry(NamedTuple):
    """An entry of a directory: where it stands, and where its value does."""

    at: int
    value: Range


class _Directory(NamedTuple):
    """A directory: its entries by tag, where it stands, and where it says which one is next."""

    entries: dict[int, _Entry]
    at: int
    next_at: int

    @property
    def ranges(self) -> list[Range]:
        """All bytes that belong to it."""
        return [(self.at, self.next_at + 4), *(entry.value for entry in self.entries.values())]


class _Tiff:
    """The bytes of EXIF, which can be changed; ValueError where they are none."""

    def __init__(self, data: bytes) -> None:
        if data[:4] not in _ORDERS:
            raise ValueError("EXIF does not begin as a TIFF does")
        self.order, self.bytes = _ORDERS[data[:4]], bytearray(data)
        self.first = self.directory(self.number(4, 4))
        if self.first.next_at != self.first.at + 2 + 12 * self.count or len(self.bytes) < self.first.next_at + 4:
            raise ValueError("EXIF ends inside its first directory")

    @property
    def count(self) -> int:
        """How many entries the first directory says that it has."""
        return self.number(self.first.at, 2)

    def first_tags(self) -> list[int]:
        """Return the tags of the first directory, with those that are there again."""
        return [self.number(at, 2) for at in range(self.first.at + 2, self.first.next_at, 12)]

    def number(self, at: int, size: int) -> int:
        """Return the number of 2 or 4 bytes at a place."""
        return int.from_bytes(self.bytes[at : at + size], "little" if self.order == "<" else "big")

    def put(self, at: int, format: str, *values: int) -> None:
        """Write numbers at a place."""
        struct.pack_into(self.order + format, self.bytes, at, *values)

    def directory(self, at: int) -> _Directory:
        """Return the directory at a place, as far as its entries are there."""
        count = min(self.number(at, 2), max(0, len(self.bytes) - at - 2) // 12)
        places = [at + 2 + 12 * number for number in range(count)]
        return _Directory({self.number(place, 2): self._entry(place) for place in places}, at, at + 2 + 12 * count)

    def follow(self, directory: _Directory, tag: int) -> _Directory | None:
        """Return the directory that an entry of another points to."""
        return self.directory(self.number(directory.entries[tag].at + 8, 4)) if tag in directory.entries else None

    def clear(self, dropped: Iterable[Range], kept: Iterable[Range]) -> None:
        """Overwrite the bytes of some ranges that others do not share, and cut them off at the end."""
        mask = self._covered(dropped) & ~self._covered(kept)
        left = np.frombuffer(self.bytes, np.uint8) * ~mask
        self.bytes = bytearray(left[: len(mask) - int(np.argmin(mask[::-1]))])

    def drop(self, tag: int) -> None:
        """Take an entry out of the first directory, whose others move up."""
        entry, end = self.first.entries[tag].at, self.first.next_at + 4
        self.bytes[entry:end] = self.bytes[entry + 12 : end] + bytes(12)
        self.put(self.first.at, "H", self.count - 1)

    def kept(self, *without: int) -> list[Range]:
        """Return all bytes of the first directory and of those below it."""
        ranges, found = [(0, 8), *self.first.ranges], [self.first]
        for tag in (_EXIF, _GPS, _INTEROPERABILITY):
            for directory in list(found) if tag not in without else []:
                below = self.follow(directory, tag)
                if below is not None:
                    found.append(below)
                    ranges += below.ranges
        return ranges

    def _covered(self, ranges: Iterable[Range]) -> npt.NDArray[np.bool_]:
        """Return which bytes ranges cover; each is written once, though thousands of entries may share them all."""
        mask, done = np.zeros(len(self.bytes), bool), 0
        for start, end in sorted(ranges):
            mask[max(start, done) : end] = True
            done = max(done, end)
        return mask

    def _entry(self, at: int) -> _Entry:
        type, count = self.number(at + 2, 2), self.number(at + 4, 4)
        size = (_SIZES[type] if type < len(_SIZES) else 1) * count
        start = at + 8 if size <= 4 else self.number(at + 8, 4)
        return _Entry(at, (start, start + size))


def bare(data: bytes) -> bytes:
    """Return EXIF without what stands before it, even if that is there many times."""
    at = 0
    while data.startswith(PREFIX, at):
        at += len(PREFIX)
    return data[at:]


def cleaned(data: bytes) -> bytes | None:
    """Return EXIF with the orientation 1 and without its thumbnail, or None where nothing else is in it.

    ValueError where the bytes are no EXIF.
    """
    tiff = _Tiff(bare(data))
    first = tiff.first
    if not first.entries.keys() - {ORIENTATION}:
        return None
    if ORIENTATION in first.entries:
        tiff.put(first.entries[ORIENTATION].at + 2, "HIHH", _SHORT, 1, 1, 0)
    following = tiff.number(first.next_at, 4)
    if following:
        tiff.put(first.next_at, "I", 0)
        tiff.clear(_thumbnail(tiff, tiff.directory(following)), tiff.kept())
    return bytes(tiff.bytes)


def without_gps(data: bytes) -> bytes | None:
    """Return EXIF without the directory of places, or None where nothing else is in it; ValueError as `cleaned`.

    ValueError too where there are several such directories, which no writer makes and which may overlap without end.
    """
    tiff = _Tiff(data)
    if tiff.first_tags().count(_GPS) > 1:
        raise ValueError("EXIF has more than one directory of places")
    places = tiff.follow(tiff.first, _GPS)
    if places is None:
        return data
    tiff.clear(places.ranges, tiff.kept(_GPS))
    tiff.drop(_GPS)
    return bytes(tiff.bytes) if tiff.count else None


def without_orientation(data: bytes) -> bytes:
    """Return EXIF without the entry of its orientation; ValueError as `cleaned`."""
    tiff = _Tiff(data)
    if ORIENTATION in tiff.first.entries:
        tiff.drop(ORIENTATION)
    return bytes(tiff.bytes)


def dots_per_inch(data: bytes) -> tuple[float, float] | None:
    """Return the resolution that EXIF says, or None where it says none."""
    try:
        tiff = _Tiff(data)
        unit = tiff.number(tiff.first.entries[_UNIT].value[0], 2) if _UNIT in tiff.first.entries else _INCH
        x, y = (_ratio(tiff, tiff.first.entries[tag]) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
        return x * _PER_INCH[unit], y * _PER_INCH[unit]
    except (ValueError, LookupError, ArithmeticError):
        return None


def of_tags(image: Image.Image, dpi: tuple[float, float] | None) -> bytes | None:
    """Return EXIF of what an image says in tags of its own, as a TIFF does, and of a resolution; or None."""
    made = _chosen(image.getexif()) if image.format == "TIFF" else Image.Exif()
    if dpi is not None and not made:
        return _resolution(*dpi)
    if dpi is not None:
        made[_X_RESOLUTION], made[_Y_RESOLUTION] = (round(value, 1) for value in dpi)
        made[_UNIT] = _INCH
    return made.tobytes().removeprefix(PREFIX) if made else None


def _resolution(x: float, y: float) -> bytes:
    """Return EXIF of a resolution in dots per inch and nothing else; two equal ones are there once."""
    values = [Fraction(min(round(10 * value), 0xFFFFFFFF), 10) for value in (x, y)]
    places = [0, 0 if values[0] == values[1] else 1]
    end = 8 + 2 + 2 * 12 + 4
    entries = [
        struct.pack(">HHII", tag, _RATIONAL, 1, end + 8 * place)
        for tag, place in zip((_X_RESOLUTION, _Y_RESOLUTION), places, strict=True)
    ]
    ratios = [struct.pack(">II", *value.as_integer_ratio()) for value in values[: 1 + places[1]]]
    return b"".join((b"MM\0*", struct.pack(">IH", 8, 2), *entries, bytes(4), *ratios))


def for_tiff(data: bytes) -> Image.Exif:
    """Return what a TIFF says of EXIF in tags of its own; SyntaxError and others where Pillow cannot read it."""
    said, made = Image.Exif(), Image.Exif()
    said.load(PREFIX + bare(data))  # Pillow copies all for every prefix
    # Pillow writes the directories below only of EXIF that it has read.
    made.load(_chosen(said).tobytes())
    for directory in (made, *(made.get_ifd(tag) for tag in (_EXIF, _GPS) if tag in made)):
        for tag, value in list(directory.items()):
            directory[tag] = _text(value)
    return made


def has_directories(tags: Image.Exif) -> bool:
    """Return whether there are directories below the first."""
    return _EXIF in tags or _GPS in tags


def _chosen(said: Image.Exif) -> Image.Exif:
    """Return the tags that tell something, with the directories below."""
    made = Image.Exif()
    for tag in _OF_TIFF:
        if tag in said:
            made[tag] = _text(said[tag])
    for tag in (_EXIF, _GPS):
        if below := said.get_ifd(tag):
            made[tag] = {name: _text(value) for name, value in below.items()}
    return made


def _text(value: Any) -> Any:
    """Return a text as the bytes that Pillow has read it from; what is not ASCII it writes as question marks."""
    return value.encode("latin-1") if isinstance(value, str) and not value.isascii() else value


def _thumbnail(tiff: _Tiff, directory: _Directory) -> list[Range]:
    """Return the bytes of the second directory and of the picture that it tells of."""
    ranges = directory.ranges
    for place, length in _THUMBNAIL:
        if {place, length} <= directory.entries.keys():
            start, size = (tiff.number(directory.entries[tag].value[0], 4) for tag in (place, length))
            ranges.append((start, start + size))
    return ranges


def _ratio(tiff: _Tiff, entry: _Entry) -> float:
    return tiff.number(entry.value[0], 4) / tiff.number(entry.value[0] + 4, 4)
