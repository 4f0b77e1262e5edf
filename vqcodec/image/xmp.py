"""XMP, edited as text: the orientation is reset, properties of places go, and every other byte stays."""

from __future__ import annotations

import re

_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>))[2-8]")
_GPS = rb"(?:gps[\w.-]*:[\w.-]+|[\w.-]+:gps[\w.-]*)"
_GPS_ATTRIBUTE = re.compile(rb"\s" + _GPS + rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')", re.IGNORECASE)
_TAG = re.compile(rb"<([^<>]*)>")
_GPS_NAME = re.compile(_GPS + rb"(?=\s|/?\Z)", re.IGNORECASE)
_GPS_LEFT = re.compile(rb"[<\s]gps[\w.-]*:|:gps", re.IGNORECASE)


def cleaned(data: bytes) -> bytes:
    """Return XMP whose orientation, if it has one, is 1."""
    return _ORIENTATION.sub(rb"\g<1>1", data)


def without_gps(data: bytes) -> bytes | None:
    """Return XMP without properties whose names begin with GPS, or None where some are in a place that is not known."""
    if b"\0" in data:  # two bytes a letter, which nobody writes
        return None
    left = _without_elements(_GPS_ATTRIBUTE.sub(b"", data))
    return None if left is None or _GPS_LEFT.search(left) else left


def _without_elements(data: bytes) -> bytes | None:
    """Return XMP without elements whose names begin with GPS, or None where one of them is not closed.

    A regex from an element to its close would search to the end again for each that has none.
    """
    kept, start, opened = list[bytes](), 0, b""
    for tag in _TAG.finditer(data):
        inside = tag[1]
        if opened:
            if inside.rstrip() == b"/" + opened:
                start, opened = tag.end(), b""
        elif name := _GPS_NAME.match(inside):
            kept.append(data[start : tag.start()])
            start, opened = tag.end(), b"" if inside.endswith(b"/") else name[0]
    return None if opened else b"".join((*kept, data[start:]))
