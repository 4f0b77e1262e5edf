"""EXIF, XMP and resolutions that nobody honest writes cost neither hours nor a picture."""

from __future__ import annotations

import io
import struct
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from metadata_files import XMP, exif, picture_file
from PIL import Image

from vqcodec.image import Picture, read_picture, stripped, write_picture, xmp
from vqcodec.image import exif as exif_file

Pixels = npt.NDArray[np.uint8]


def directory(*entries: tuple[int, int, int, int]) -> bytes:
    """EXIF of one directory of entries: tag, type, count, value."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4)


@pytest.mark.parametrize(
    "data",
    [
        b"<a:gps>" * 300_000,
        b"<a:gps " * 300_000,
        b"<a:gps>" + b"</a:gp>" * 300_000,
        b' gps:a="' * 300_001,
        b" gps" + b"a" * 2_000_000,
        b"<" * 2_000_000,
        b"<a:gps" + b" " * 2_000_000,
    ],
)
def test_places_in_hostile_xmp_are_searched_in_one_pass(data: bytes) -> None:
    start = time.process_time()
    xmp.without_gps(data)
    xmp.cleaned(data)
    assert time.process_time() - start < 20


@pytest.mark.parametrize(
    ("data", "left"),
    [
        (b"<x><a:GPSa>1</a:GPSa ><b>2</b><exif:gpsB/></x>", b"<x><b>2</b></x>"),
        (b"<x><a:GPSa q='1'><b>1</b>\n</a:GPSa><gps:b x='/'>2</gps:b></x>", b"<x></x>"),
        (b"<x><a:GPSa>1</a:GPSb></x>", None),
        (b"<x><a:GPSa><a:GPSa>1</a:GPSa>2</a:GPSa></x>", None),
        (b"<x>no tags < and > here</x>", b"<x>no tags < and > here</x>"),
    ],
)
def test_elements_of_places(data: bytes, left: bytes | None) -> None:
    assert xmp.without_gps(data) == left


def test_places_of_many_directories_are_left_out_with_all_the_rest(pixels: Pixels) -> None:
    data = directory(*[(0x8825, 4, 1, 8)] * 5000, (0x0110, 2, 4, 0x41414141))
    picture = stripped(Picture(pixels, exif=data), "gps")
    assert picture.exif is None
    assert picture.notes == ("the EXIF metadata are damaged; they are ignored and not kept",)


def test_entries_that_share_all_bytes_cost_one_pass() -> None:
    size = 1 << 23
    entries = [(tag, 1, size, 0) for tag in range(60_000) if tag != 0x8825]
    start = time.process_time()
    exif_file.without_gps(directory((0x8825, 4, 1, 8), *entries) + bytes(size))
    assert time.process_time() - start < 20


def test_many_prefixes_are_taken_off_at_once(pixels: Pixels) -> None:
    data = exif_file.PREFIX * 300_000 + exif(1)
    start = time.process_time()
    assert exif_file.cleaned(data) == exif(1)
    assert read_picture(picture_file("PNG", pixels, data, None)).exif == exif(1)
    write_picture(Picture(pixels, exif=data), io.BytesIO(), "tif")
    assert time.process_time() - start < 20


@pytest.mark.parametrize("dpi", [4_000_000_000.0, 65536.0, 0.5])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp"])
def test_a_resolution_that_no_format_holds_costs_no_picture(pixels: Pixels, suffix: str, dpi: float) -> None:
    file = io.BytesIO()
    notes = write_picture(Picture(pixels, exif=exif(1, dpi=dpi)), file, suffix)
    assert any(note.startswith("dots per inch are not set in the ") for note in notes)
    assert read_picture(file.getvalue()).pixels.shape == pixels.shape


@pytest.mark.parametrize("tags", [(0x011A,), (0x011B,), (0x011A, 0x011B)])
def test_a_tiff_of_no_resolution_at_all_is_read(pixels: Pixels, tags: tuple[int, ...]) -> None:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "TIFF", dpi=(300, 300))
    data = bytearray(file.getvalue())
    (at,) = struct.unpack("<I", data[4:8])
    for entry in range(at + 2, at + 2 + 12 * struct.unpack("<H", data[at : at + 2])[0], 12):
        tag, _, _, value = struct.unpack("<HHII", data[entry : entry + 12])
        if tag in tags:
            data[value : value + 8] = bytes(8)
    np.testing.assert_array_equal(read_picture(bytes(data)).pixels, pixels)


@pytest.mark.parametrize("dpi", [(), (float("nan"), 1.0), (300.0, float("inf"))])
def test_a_resolution_that_is_no_number_is_none(pixels: Pixels, dpi: Any) -> None:
    image = Image.fromarray(pixels)
    image.info["dpi"] = dpi
    picture = read_picture(image)
    assert (picture.exif, picture.notes) == (None, ())


def test_honest_xmp_loses_its_places_alone() -> None:
    left = xmp.without_gps(XMP)
    assert left is not None and b"exif:GPS" not in left and left.endswith(b"<?xpacket end='w'?>")
