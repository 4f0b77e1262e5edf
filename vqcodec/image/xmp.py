"""XMP, edited as text: the orientation is reset, properties of places go, and every other byte stays."""

from __future__ import annotations

import re

_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>))[2-8]")
_GPS = rb"(?:gps[\w.-]*:[\w.-]+|[\w.-]+:gps[\w.-]*)"
_GPS_ATTRIBUTE = re.compile(rb"\s" + _GPS + rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')", re.IGNORECASE)
_GPS_ELEMENT = re.compile(rb"<(" + _GPS + rb")(?:\s[^<>]*)?(?:/>|>.*?</\1\s*>)", re.IGNORECASE | re.DOTALL)
_GPS_LEFT = re.compile(rb"[<\s]gps[\w.-]*:|:gps", re.IGNORECASE)


def cleaned(data: bytes) -> bytes:
    """Return XMP whose orientation, if it has one, is 1."""
    return _ORIENTATION.sub(rb"\g<1>1", data)


def without_gps(data: bytes) -> bytes | None:
    """Return XMP without properties whose names begin with GPS, or None where some are in a place that is not known."""
    if b"\0" in data:  # two bytes a letter, which nobody writes
        return None
    left = _GPS_ELEMENT.sub(b"", _GPS_ATTRIBUTE.sub(b"", data))
    return None if _GPS_LEFT.search(left) else left
