"""Color spaces that a file names by a number, and ICC profiles made of primaries and a curve.

Pixels of the usual spaces need no profile of some hundred bytes: a number says which space it is, and a reader makes
the profile. What is no number here is sRGB, if the file has no profile either.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Chromaticity = tuple[float, float]
Matrix = npt.NDArray[np.float64]

D65: Chromaticity = (0.3127, 0.3290)
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
"""Gamma, a, b, c, d of (a x + b)^gamma from d on and c x below: type 3 of ICC's parametric curves."""


class Space(NamedTuple):
    """A color space: x and y of red, green, blue and white; gamma is that of a power, or None for sRGB's curve."""

    name: str
    primaries: tuple[Chromaticity, Chromaticity, Chromaticity]
    white: Chromaticity = D65
    gamma: float | None = None


SRGB_PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
P3_PRIMARIES = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
SPACES = {
    1: Space("Display P3", P3_PRIMARIES),
    2: Space("Adobe RGB (1998)", ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), gamma=563 / 256),
}
"""The numbers of the file format."""


@cache
def numbered() -> dict[bytes, int]:
    """Return the numbers of the file format by the profiles that stand for them."""
    return {profile(space): number for number, space in SPACES.items()}


def profile(space: Space) -> bytes:
    """Return an ICC profile (version 4, a matrix and one curve) of a color space; ValueError where it is none."""
    curve = _curve(space.gamma)
    tags = {
        b"desc": _text(space.name),
        b"cprt": _text("CC0"),
        b"wtpt": _xyz(_D50),
        b"chad": b"sf32" + bytes(4) + _fixed(_adaptation(space.white).reshape(-1)),
        **{name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), _columns(space), strict=True)},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    body, table, places = b"", b"", {}
    for name, data in tags.items():
        if data not in places:
            places[data] = 128 + 4 + 12 * len(tags) + len(body)
            body += data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", places[data], len(data))
    rest = struct.pack(">I", len(tags)) + table + body
    header = struct.pack(">I4x", 128 + len(rest)) + b"\x04\x30\0\0mntrRGB XYZ "
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(_D50)
    return header + bytes(128 - len(header)) + rest


def _columns(space: Space) -> Matrix:
    """Return X, Y, Z [3, 3] of red, green and blue under D50, a row each."""
    primaries = np.stack([_to_xyz(place) for place in space.primaries], axis=1)
    if abs(np.linalg.det(primaries)) < 1e-6:
        raise ValueError("the primaries lie on a line")
    strengths = np.linalg.solve(primaries, _to_xyz(space.white))
    columns: Matrix = (_adaptation(space.white) @ (primaries * strengths)).T
    return columns


def _adaptation(white: Chromaticity) -> Matrix:
    """Return the matrix [3, 3] that turns what is white into D50's white (Bradford)."""
    scale = (_BRADFORD @ _D50) / (_BRADFORD @ _to_xyz(white))
    matrix: Matrix = np.linalg.inv(_BRADFORD) @ (scale[:, None] * _BRADFORD)
    return matrix


def _to_xyz(place: Chromaticity) -> Matrix:
    x, y = place
    if y <= 0:
        raise ValueError("a chromaticity has no y")
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _curve(gamma: float | None) -> bytes:
    kind, values = (3, _SRGB_CURVE) if gamma is None else (0, (gamma,))
    return b"para" + struct.pack(">4xHxx", kind) + _fixed(np.array(values))


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">4xII", 1, 12) + b"enUS" + struct.pack(">II", len(encoded), 28) + encoded


def _xyz(values: Matrix) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _fixed(values: Matrix) -> bytes:
    if not (np.abs(values) < 32768).all():
        raise ValueError("a number is too large for a profile")
    return struct.pack(f">{len(values)}i", *(round(65536 * float(value)) for value in values))
