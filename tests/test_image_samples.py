"""Depth and polarity of samples are read from tags, and a key color is compared with the file's own values."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, PngImagePlugin
from test_image import chunk, deep_png, png
from tiny import picture

from vqcodec import image
from vqcodec.errors import InputError
from vqcodec.image import png as png_file
from vqcodec.image import read_picture

Samples = npt.NDArray[Any]


def tiff(samples: Samples, bits: int, packed: bytes | None = None, **tags: int) -> bytes:
    """A gray TIFF, little-endian and uncompressed; `packed` are its bytes where they are not those of the array."""
    height, width = samples.shape
    body = samples.tobytes() if packed is None else packed
    kind = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    entries: dict[int, tuple[int, bytes]] = {
        256: (4, struct.pack("<I", width)),
        257: (4, struct.pack("<I", height)),
        258: (3, struct.pack("<H", bits)),
        259: (3, struct.pack("<H", 1)),
        262: (3, struct.pack("<H", tags.get("photometric", 1))),
        273: (4, struct.pack("<I", 8)),
        277: (3, struct.pack("<H", 1)),
        278: (4, struct.pack("<I", height)),
        279: (4, struct.pack("<I", len(body))),
        339: (3, struct.pack("<H", kind)),
    }
    if "most" in tags:
        entries[341] = (4, struct.pack("<I", tags["most"]))
    ifd = struct.pack("<H", len(entries))
    for tag, (form, value) in sorted(entries.items()):
        ifd += struct.pack("<HHI", tag, form, 1) + value.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + ifd + bytes(4)


def gray(data: bytes) -> list[int]:
    pixels = read_picture(data).pixels
    assert (pixels == pixels[..., :1]).all()
    return pixels[0, :, 0].tolist()


def packed12(values: list[int]) -> bytes:
    """Pairs of 12-bit samples in three bytes."""
    pairs = zip(values[::2], values[1::2], strict=True)
    return b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in pairs)


def test_twelve_bits_are_scaled_by_their_twelve_bits() -> None:
    values = [0, 4095, 2048, 1024]
    data = tiff(np.array([values], np.uint16), 12, packed12(values))
    assert gray(data) == [0, 255, 128, 64]
    assert read_picture(data).notes == ("12 bits per sample are reduced to 8",)


def test_white_may_be_zero() -> None:
    data = tiff(np.array([[0, 65535, 32768]], np.uint16), 16, photometric=0)
    assert gray(data) == [255, 0, 127]


def test_whole_numbers_of_32_bits() -> None:
    values = np.array([[0, 2**32 - 1, 2**31]], np.uint32)
    assert gray(tiff(values, 32)) == [0, 255, 128]


def test_floating_point_is_zero_to_one_or_what_the_tags_say() -> None:
    values = np.array([[0, 1, 0.5]], np.float32)
    assert gray(tiff(values, 32)) == [0, 255, 128]
    assert gray(tiff(200 * values, 32, most=200)) == [0, 255, 128]
    assert gray(tiff((1000 * values).astype(np.int32), 32, most=1000)) == [0, 255, 128]


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        (np.array([[0, 2.5]], np.float32), 32),
        (np.array([[0, 255]], np.int32), 32),
        (np.array([[0, 255]], np.int16), 16),
    ],
)
def test_what_does_not_say_which_sample_is_white_is_refused(values: Samples, bits: int) -> None:
    with pytest.raises(InputError, match="does not say which is white"):
        read_picture(tiff(values, bits))


def with_key(png: bytes, *key: int) -> bytes:
    """A PNG with a transparent color."""
    return png[:33] + chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)) + png[33:]


def test_key_colors_of_16_bits_are_compared_in_16_bits() -> None:
    key = (0x1234, 0x5678, 0x9ABC)
    data = with_key(deep_png(3, [*key, 0x1234, 0x5678, 0x9ABD, 0, 0, 0]), *key)
    assert read_picture(data).pixels[0].tolist() == [[255] * 3, [0x12, 0x56, 0x9A], [0] * 3]
    assert gray(with_key(deep_png(1, [0x1234, 0x1235]), 0x1234)) == [255, 0x12]


@pytest.mark.parametrize(("bits", "key", "others"), [(2, 2, [0, 85, 255]), (4, 10, [0, 17, 34])])
def test_key_colors_of_few_bits(bits: int, key: int, others: list[int]) -> None:
    steps = [other * ((1 << bits) - 1) // 255 for other in others]
    number = 0
    for value in [*steps, key]:
        number = number << bits | value
    row = number.to_bytes(4 * bits // 8, "big")
    assert gray(with_key(png(4, 1, bits, 0, b"\0" + row), key)) == [*others, 255]


def test_a_large_file_and_its_pixels_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = picture(37, 23, seed=5)
    plain, commented, said = io.BytesIO(), io.BytesIO(), PngImagePlugin.PngInfo()
    said.add_text("Comment", "by hand")
    Image.fromarray(pixels).save(plain, "PNG")
    Image.fromarray(pixels).save(commented, "PNG", pnginfo=said)
    data = plain.getvalue()
    assert png_file.take_apart(data).data is data
    assert png_file.take_apart(commented.getvalue()).data == data
    monkeypatch.setattr(image, "_STRIP", 7)
    for file in (plain, commented):
        np.testing.assert_array_equal(read_picture(file.getvalue()).pixels, pixels)
