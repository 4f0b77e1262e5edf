"""The faulty files among the test vectors whose faults lie in what a file says of its picture besides indices."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from bad_vectors import SECTIONS, Fault, seal, section

from vqcodec.exact.bitstream.header import varint
from vqcodec.exact.bitstream.sections import ALPHA, EXIF, GRAY, HALVED, MOST_STREAM_BYTES, XMP

PIXELS: Final = 50 * 40
LZMA: Final[dict[str, Any]] = {"id": lzma.FILTER_LZMA1, "preset": 9, "dict_size": 1 << 22, "lc": 3, "lp": 0, "pb": 0}


def bad_said_files(good: Mapping[str, bytes]) -> Iterator[Fault]:
    """All bad files, in the order of the checks that find them."""
    data = good["plain_icc"]
    base = data[: SECTIONS + 2 + data[SECTIONS + 1]]
    yield from _sections(base)
    yield from _alpha(base)
    for kind, name in ((EXIF, "exif"), (XMP, "xmp")):
        yield from _streams(base, kind, name)
    bomb = zlib.compress(bytes(MOST_STREAM_BYTES + 1), 9)
    long = base + bytes([XMP]) + varint(len(bomb)) + bomb
    yield Fault("xmp_bomb", "xmp", "XMP of 2^24 + 1 bytes", seal(long))
    both = base + section(EXIF, b"neither") + section(ALPHA, b"\0neither")
    yield Fault("alpha_before_exif", "alpha", "damaged alpha behind damaged EXIF: alpha is checked first", seal(both))


def _sections(base: bytes) -> Iterator[Fault]:
    packed = zlib.compress(b"packed", 9)
    for name, new, about in (
        ("two_halves", section(HALVED, b"") * 2, "two sections that say half"),
        ("long_half", section(HALVED, b"\2"), "a section that says half of one byte"),
        ("two_grays", section(GRAY, b"") * 2, "two gray sections"),
        ("long_gray", section(GRAY, b"\1"), "a gray section of one byte"),
        ("two_alphas", section(ALPHA, _alpha_of(bytes(PIXELS))) * 2, "two alphas"),
        ("two_exifs", section(EXIF, packed) * 2, "EXIF twice"),
        ("two_xmps", section(XMP, packed) * 2, "XMP twice"),
    ):
        yield Fault(name, "section", about, seal(base + new))


def _alpha(base: bytes) -> Iterator[Fault]:
    samples = np.arange(PIXELS, dtype=np.uint32).astype(np.uint8).tobytes()
    whole = _alpha_of(samples)
    for name, payload, about in (
        ("alpha_empty", b"", "no bytes of alpha"),
        ("alpha_kind", b"\2" + whole[1:], "alpha of an unknown kind"),
        ("alpha_kind_only", b"\0", "the kind of the alpha and nothing behind it"),
        ("alpha_not_lzma", b"\0" + b"\xff" * 40, "alpha that is no LZMA stream"),
        ("alpha_cut", whole[:-1], "alpha whose stream is cut"),
        ("alpha_more", whole + b"\0", "a byte behind the stream of the alpha"),
        ("alpha_small", _alpha_of(samples[:-1]), "alpha of a pixel too few"),
        ("alpha_large", _alpha_of(samples + b"\0"), "alpha of a pixel too many"),
        ("alpha_bomb", _alpha_of(bytes(1 << 24)), "alpha of 2^24 pixels in a picture of 2,000"),
    ):
        yield Fault(name, "alpha", about, seal(base + section(ALPHA, payload)))


def _streams(base: bytes, kind: int, name: str) -> Iterator[Fault]:
    packed = zlib.compress(b"packed", 9)
    for fault, payload, about in (
        ("not_zlib", b"packed", "that is no zlib stream"),
        ("cut", packed[:-2], "whose zlib stream is cut"),
        ("more", packed + b"!", "with a byte behind its zlib stream"),
    ):
        yield Fault(f"{name}_{fault}", name, f"{name.upper()} {about}", seal(base + section(kind, payload)))


def _alpha_of(samples: bytes) -> bytes:
    return b"\0" + lzma.compress(samples, lzma.FORMAT_RAW, filters=[LZMA])
