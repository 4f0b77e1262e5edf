"""A picture whose file has its pixels without loss in the place of indices, or some of them over these; no torch."""

from __future__ import annotations

import zlib

import numpy as np

from vqcodec.errors import FormatError
from vqcodec.exact.bitstream import container, raw_lzma
from vqcodec.exact.bitstream.ancillary import Ancillary
from vqcodec.exact.bitstream.container import NOTHING, Container
from vqcodec.exact.bitstream.pixels import Overlay, Pixels, pack_pixels, unpack_overlay, unpack_pixels
from vqcodec.exact.bitstream.sections import PIXELS, Section
from vqcodec.exact.headers import Size, check_model, make_header
from vqcodec.exact.model_file import Metadata
from vqcodec.exact.priors import Prior


def encode_pixels(
    pixels: Pixels, size: Size, metadata: Metadata, prior: Prior, ancillary: Ancillary = NOTHING
) -> bytes | None:
    """Return the .vqc file of pixels uint8 [H, W, 3]; None where they have too many colors, or Python has no lzma."""
    payload = pack_pixels(pixels) if raw_lzma.is_there() else None
    if payload is None:
        return None
    header = make_header(size, metadata, prior, zlib.crc32(np.ascontiguousarray(pixels).data))
    return container.write_sections(header, [Section(PIXELS, payload), *ancillary.sections])


def decode_pixels(parsed: Container, metadata: Metadata) -> Pixels:
    """Return the pixels uint8 [H, W, 3] of a parsed file that has them without loss.

    ModelError for a file of another model, FormatError where they are not what was encoded.
    """
    header, payload = parsed.header, parsed.pixels
    assert payload is not None
    check_model(header, metadata)
    pixels = unpack_pixels(payload, header.height, header.width, is_gray=parsed.is_gray)
    if zlib.crc32(pixels.data) != header.index_crc:
        raise FormatError("the pixels do not match their checksum; the file is damaged")
    return pixels


def decode_overlay(parsed: Container) -> Overlay | None:
    """Return what a parsed file has over its indices, or None; FormatError where that is not what was encoded."""
    header, payload = parsed.header, parsed.overlay
    if payload is None:
        return None
    return unpack_overlay(payload, header.height, header.width, is_gray=parsed.is_gray)
