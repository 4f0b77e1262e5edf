"""Changes of files that have drawn pixels without loss, for `fuzz_mutators.py`."""

from __future__ import annotations

import lzma
import random
import zlib
from typing import Any

import numpy as np

from vqcodec.errors import VqcError
from vqcodec.exact import indices
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.header import Reader
from vqcodec.exact.bitstream.pixels import Overlay, pack_overlay
from vqcodec.exact.bitstream.sections import OVERLAY, Section
from vqcodec.exact.stored import encode_pixels

CRC_BYTES = 4


def drawn_picture(rng: random.Random, size: indices.Size, ours: Any) -> bytes | None:
    """Draw the pixels of a picture without loss, of few colors or of many."""
    numbers = np.random.default_rng(rng.getrandbits(32))
    colors = numbers.integers(0, 256, (rng.choice([1, 2, 7, 256, 257, 2000]), 3), np.uint8)
    places = numbers.integers(0, len(colors), (size.height, size.width))
    return encode_pixels(colors[places], size, *ours)


def overlaid(parsed: container.Container, rng: random.Random) -> bytes:
    """Draw an overlay, of few colors or of many."""
    numbers = np.random.default_rng(rng.getrandbits(32))
    colors = numbers.integers(0, 256, (rng.choice([1, 2, 255, 256, 2000]), 3), np.uint8)
    places = numbers.integers(0, 2 * len(colors), (parsed.header.height, parsed.header.width))
    payload = pack_overlay(Overlay(colors[places % len(colors)], places < len(colors)))
    more = [] if payload is None else [Section(OVERLAY, payload)]
    return container.write_sections(parsed.header, [*parsed.sections, *more])


def with_overlay_crc(body: bytes) -> bytes:
    """Put the checksum of an overlay into its section, if it unpacks."""
    try:
        parsed = container.read(body + zlib.crc32(body).to_bytes(CRC_BYTES, "little"))
        if parsed.overlay is None:
            return body
        reader = Reader(parsed.overlay[CRC_BYTES:])
        step = 1 if reader.varint("") < 256 else 2
        filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 22, "lc": 3, "lp": step - 1, "pb": step - 1}]
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
        data = unpacker.decompress(reader.data[reader.position :], 1 << 18)
    except (VqcError, lzma.LZMAError):
        return body
    payload = zlib.crc32(data).to_bytes(CRC_BYTES, "little") + reader.data
    sections = [Section(kind, payload if kind == OVERLAY else old) for kind, old in parsed.sections]
    return container.write_sections(parsed.header, sections)[:-CRC_BYTES]
