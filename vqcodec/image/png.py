"""PNG files: what the pixels need is handed on, the rest is read here, so that none of it can spoil them."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from vqcodec.exact.bitstream.sections import MOST_STREAM_BYTES

MAGIC = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_XMP = b"XML:com.adobe.xmp\0"
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
"""Chunks of further frames, whose names are private ones, but which everybody knows."""
_TEXTS_NOTE = "texts are not kept"
_LARGEST_TEXT = 1 << 16
_TRUECOLOR = 2


@dataclass
class Png:
    """A PNG file that holds only what Pillow is to read, and what was taken out of it.

    icc: the ICC profile; xmp: the XMP packet; code_points: primaries and curve of a cICP chunk; private: the names of
    chunks that are their writers' own; notes: sentences on what is ignored.
    """

    data: bytes
    icc: bytes | None = None
    xmp: bytes | None = None
    code_points: tuple[int, int] | None = None
    private: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def take_apart(data: bytes) -> Png:
    """Return a PNG file without texts, ICC profile, and parts whose checksum is wrong and that pixels do not need."""
    png, parts = Png(b""), [memoryview(MAGIC)]
    for kind, payload, whole, is_right in chunks(memoryview(data)):
        if kind == b"IEND":
            parts.append(memoryview(chunk(kind, b"")))
            break
        if not is_right and kind[:1].islower():
            _note(png, f"a damaged part of the PNG ({kind.decode('ascii', 'replace')}) is ignored")
        elif kind == b"iCCP":
            png.icc = _unpacked_profile(bytes(payload))
            if png.icc is None:
                _note(png, "the ICC profile is damaged or too long and not kept")
        elif kind == b"cICP" and len(payload) == 4:
            png.code_points = payload[0], payload[1]
        elif kind in _TEXTS and not _is_exif(bytes(payload)):
            _take_text(png, bytes(payload))
        elif kind == b"tIME":
            _note(png, "the PNG's time of change is not kept")
        else:
            parts.append(whole)
            if is_right and kind[1:2].islower() and kind not in _ANIMATION:
                png.private.add(kind.decode("ascii", "replace"))
    # A second copy of a large file is not made where it would be the same.
    png.data = data if sum(map(len, parts)) == len(data) and data.endswith(parts[-1]) else b"".join(parts)
    return png


def key_color(image: Image.Image, data: bytes) -> Image.Image:
    """Return an opened PNG whose one transparent color has become alpha, where Pillow compares it with other values.

    It keeps the key as the file has it: of 16 bits, beside RGB pixels of 8, or of 2 or 4 bits beside gray ones.
    """
    key = image.info.get("transparency")
    depth, color = data[24], data[25]
    if isinstance(key, int) and image.mode == "L" and depth in (2, 4):
        image.info["transparency"] = key * 255 // ((1 << depth) - 1)
    elif isinstance(key, tuple) and image.mode == "RGB" and depth == 16 and color == _TRUECOLOR:
        high, low = (_decoded(data, f"RGB;16{order}") for order in "BL")
        is_key = (high.astype(np.uint16) << 8 | low == np.array(key, np.uint16)).all(axis=2)
        del image.info["transparency"]
        image.putalpha(Image.fromarray(np.where(is_key, 0, 255).astype(np.uint8)))
    return image


def _decoded(data: bytes, raw_mode: str) -> npt.NDArray[np.uint8]:
    """Return the upper ("RGB;16B") or the lower ("RGB;16L") bytes uint8 [H, W, 3] of samples of 16 bits."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        assert isinstance(image, PngImagePlugin.PngImageFile)
        image.tile = [tile._replace(args=raw_mode) for tile in image.tile]
        return np.array(image)


def _note(png: Png, sentence: str) -> None:
    if sentence not in png.notes:
        png.notes.append(sentence)


def _take_text(png: Png, payload: bytes) -> None:
    xmp = _unpacked_xmp(payload) if payload.startswith(_XMP) else None
    if xmp and png.xmp is None:
        png.xmp = xmp
    else:
        _note(png, "XMP metadata are damaged or too long and not kept" if payload.startswith(_XMP) else _TEXTS_NOTE)


def _unpacked_xmp(payload: bytes) -> bytes | None:
    """Return the text of an iTXt chunk, or None where it is damaged or longer than a file holds."""
    is_packed, rest = payload[len(_XMP) : len(_XMP) + 1], payload[len(_XMP) + 2 :]
    _, _, rest = rest.partition(b"\0")
    _, end, text = rest.partition(b"\0")
    if is_packed == b"\1":
        return _unpacked(text)
    return text if end and len(text) <= MOST_STREAM_BYTES else None


def chunks(data: memoryview) -> Iterator[tuple[bytes, memoryview, memoryview, bool]]:
    """Yield kind, payload and all bytes of each chunk, and whether its checksum is right; the last may be cut off."""
    at = len(MAGIC)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        whole = data[at:end]
        is_right = len(whole) >= 12 and zlib.crc32(whole[4:-4]) == int.from_bytes(whole[-4:], "big")
        # A chunk that is cut off is left to Pillow, which says so.
        yield bytes(whole[4:8]), whole[8:-4], whole, is_right or end > len(data)
        at = end


def chunk(kind: bytes, payload: bytes) -> bytes:
    """Return a chunk of a PNG file, with its length and checksum."""
    checksum = zlib.crc32(kind + payload)
    return len(payload).to_bytes(4, "big") + kind + payload + checksum.to_bytes(4, "big")


def _unpacked_profile(payload: bytes) -> bytes | None:
    _, _, packed = payload.partition(b"\0")
    return _unpacked(packed[1:]) if packed[:1] == b"\0" else None


def _unpacked(packed: bytes) -> bytes | None:
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, MOST_STREAM_BYTES + 1)
    except zlib.error:
        return None
    return data if unpacker.eof and len(data) <= MOST_STREAM_BYTES else None


def _is_exif(payload: bytes) -> bool:
    """Return whether a text is EXIF as old writers pack it, which says how a picture is turned, and is short."""
    keyword, _, packed = payload.partition(b"\0")
    if keyword != b"Raw profile type exif":
        return False
    try:
        return len(zlib.decompressobj().decompress(packed[1:], _LARGEST_TEXT)) < _LARGEST_TEXT
    except zlib.error:
        return len(packed) < _LARGEST_TEXT
