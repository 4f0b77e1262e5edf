"""What the pixels need is read; the rest may be damaged, long or missing, which is noted."""

from __future__ import annotations

import io
import os
import struct
import time
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, PngImagePlugin
from test_image import chunk, encoded
from tiny import picture

from vqcodec.errors import InputError
from vqcodec.exact.bitstream import profiles
from vqcodec.image import Picture, read_picture, write_picture

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def drawn() -> Pixels:
    return picture(70, 101, seed=3)


def damaged_chunk(kind: bytes, payload: bytes) -> bytes:
    return chunk(kind, payload)[:-4] + b"\0\0\0\0"


@pytest.mark.parametrize("kind", [b"tEXt", b"gAMA", b"pHYs", b"iCCP", b"tIME", b"eXIf"])
def test_a_wrong_checksum_beside_the_pixels_is_noted(drawn: Pixels, kind: bytes) -> None:
    data = encoded(Image.fromarray(drawn), "PNG")
    read = read_picture(data[:33] + damaged_chunk(kind, b"abc") + data[33:-4] + b"\0\0\0\0")
    np.testing.assert_array_equal(read.pixels, drawn)
    assert read.notes == (f"a damaged part of the PNG ({kind.decode()}) is ignored",)


def test_a_wrong_checksum_of_the_pixels_is_an_error(drawn: Pixels) -> None:
    data = bytearray(encoded(Image.fromarray(drawn), "PNG"))
    data[data.index(b"IDAT") + 50] ^= 1
    with pytest.raises(InputError, match=r"the image data is truncated or damaged.*PNG"):
        read_picture(bytes(data))


def test_long_texts_and_profiles(drawn: Pixels) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("note", "x" * 3_000_000, zip=True)
    info.add_text("other", "x" * 3_000_000)
    read = read_picture(encoded(Image.fromarray(drawn), "PNG", pnginfo=info))
    np.testing.assert_array_equal(read.pixels, drawn)
    assert read.notes == ("texts are not kept",)
    start = profiles.profile(profiles.Space("long", profiles.P3_PRIMARIES, gamma=3.0))
    long = start + os.urandom(2_000_000)
    file = io.BytesIO()
    write_picture(Picture(drawn, long), file, "png")
    read = read_picture(file.getvalue())
    assert (read.icc, read.notes) == (long, ())


def test_a_damaged_profile_is_noted(drawn: Pixels) -> None:
    data = encoded(Image.fromarray(drawn), "PNG")
    read = read_picture(data[:33] + chunk(b"iCCP", b"name\0\0nonsense") + data[33:])
    assert read.notes == ("the ICC profile is damaged or too long and not kept",)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 2}])
@pytest.mark.parametrize("cut", [1, 2])
def test_a_jpeg_without_its_end_marker_is_whole(drawn: Pixels, options: dict[str, Any], cut: int) -> None:
    data = encoded(Image.fromarray(drawn), "JPEG", quality=90, **options)
    read = read_picture(data[:-cut])
    np.testing.assert_array_equal(read.pixels, read_picture(data).pixels)
    assert read.notes == ("the JPEG's end marker is missing; all its pixels are there",)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_jpeg_without_pixels_is_damaged(drawn: Pixels, options: dict[str, Any]) -> None:
    data = encoded(Image.fromarray(drawn), "JPEG", quality=90, **options)
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    for length in (*range(len(data) - 60, len(data) - 3, 7), *scans[1:]):
        with pytest.raises(InputError, match="JPEG"):
            read_picture(data[:length])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"8BPS" + bytes(40), "is Photoshop, which is not an image that vqc can read; give a PNG"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"II*\0" + bytes(20), "TIFF"),
        (b"%PDF-1.7", "is PDF, which"),
    ],
)
def test_errors_name_the_format(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_picture(data)


def test_a_tiff_of_many_directories_is_not_walked_through() -> None:
    first = bytearray(encoded(Image.new("L", (4, 4)), "TIFF"))
    at = struct.unpack("<I", first[4:8])[0]
    entries = struct.unpack("<H", first[at : at + 2])[0]
    link = at + 2 + 12 * entries
    struct.pack_into("<I", first, link, len(first))
    directory = bytes(first[at:link])
    for number in range(16000):
        following = len(first) + len(directory) + 4
        first += directory + struct.pack("<I", following if number < 15999 else 0)
    started = time.process_time()
    assert read_picture(bytes(first)).notes == ("only the first of its frames is kept",)
    assert time.process_time() - started < 5


def test_packed_texts_are_not_unpacked(drawn: Pixels) -> None:
    """A text of 64 MB in some kilobytes, in the place where EXIF may stand."""
    bomb = b"Raw profile type exif\0\0" + zlib.compress(bytes(1 << 26), 9)
    data = encoded(Image.fromarray(drawn), "PNG")
    read = read_picture(data[:33] + chunk(b"zTXt", bomb) + data[33:])
    np.testing.assert_array_equal(read.pixels, drawn)
