"""JPEG files that lack their end: the marker alone, which no pixel needs, or pixels too."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

_END = b"\xff\xd9"
_START_OF_SCAN, _PROGRESSIVE = 0xDA, 0xC2
_ALONE = (0x01, *range(0xD0, 0xD9))
"""Markers without a length."""
_COEFFICIENTS = 64


def lacks_only_its_end(data: bytes) -> bool:
    """Return whether a JPEG without an end marker has all its pixels.

    Then what stands behind its last scan makes no difference; otherwise a decoder takes it for pixels.
    """
    if data.endswith(_END) or not _is_complete_progression(data):
        return False
    begun = data.removesuffix(_END[:1])  # half a marker would make one of the filling
    shown = [_decoded(begun + filling * 64 + _END) for filling in (b"", b"\x55\xa6", b"\x93\x3c")]
    first = shown[0]
    return first is not None and all(pixels is not None and np.array_equal(pixels, first) for pixels in shown)


def with_end(data: bytes) -> bytes:
    """Return a JPEG with the end marker that it lacks."""
    return data + _END


def _decoded(data: bytes) -> npt.NDArray[np.uint8] | None:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return np.array(image)
    except Exception:  # Pillow's decoders raise nearly anything for damaged data
        return None


def _is_complete_progression(data: bytes) -> bool:
    """Return whether the scans of a progressive JPEG bring every coefficient to its last bit; True for others."""
    left: dict[int, set[int]] = {}
    at, is_progressive = 2, False
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if marker in (0, 0xFF, *_ALONE):
            at += 1 if marker == 0xFF else 2
            continue
        if marker == _PROGRESSIVE:
            is_progressive = True
            left = {component: set(range(_COEFFICIENTS)) for component in body[6::3]}
        elif marker == _START_OF_SCAN and is_progressive and len(body) >= 4 and not body[-1] & 15:
            for component in body[1:-3:2]:
                left.get(component, set()).difference_update(range(body[-3], body[-2] + 1))
        at += 2 + length
    return not any(left.values())
