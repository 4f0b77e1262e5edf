"""Pictures from every source come in as they should be seen, with a note for whatever is lost."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from vqcodec.errors import InputError
from vqcodec.exact.bitstream import profiles
from vqcodec.image import find_pictures, read_picture

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    """A smooth picture uint8 [24, 40, 3] with a different value in every corner."""
    y, x = np.mgrid[0:24, 0:40]
    return np.stack([10 * y, 6 * x, 3 * (x + y)], axis=2).astype(np.uint8)


@pytest.fixture(scope="module")
def srgb_profile() -> bytes:
    """A real RGB profile."""
    profile: bytes = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    """The bytes of an image file."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, color: int, samples: bytes) -> bytes:
    """A PNG file of raw rows, which need not be as many as its header says."""
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(samples)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def deep_png(channels: int, values: list[int]) -> bytes:
    """A PNG of one row of 16-bit samples."""
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    return png(len(values) // channels, 1, 16, color, b"\0" + struct.pack(f">{len(values)}H", *values))


def test_every_source_gives_the_same_pixels(pixels: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    data = encoded(Image.fromarray(pixels), "PNG")
    path.write_bytes(data)
    with path.open("rb") as file:
        sources = (pixels, path, str(path), data, bytearray(data), io.BytesIO(data), Image.fromarray(pixels), file)
        for source in sources:
            picture = read_picture(source)
            np.testing.assert_array_equal(picture.pixels, pixels)
            assert picture.pixels.dtype == np.uint8
            assert (picture.icc, picture.notes) == (None, ())


@pytest.mark.parametrize("step", [1, -1, 2])
def test_arrays_may_be_gray_transparent_or_views(pixels: Pixels, step: int) -> None:
    view = pixels[::step, ::step]
    np.testing.assert_array_equal(read_picture(view).pixels, view)
    np.testing.assert_array_equal(read_picture(view[..., 0]).pixels, view[..., :1].repeat(3, axis=2))
    opaque = np.dstack([view, np.full(view.shape[:2], 255, np.uint8)])
    assert read_picture(opaque).notes == ()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4), np.uint16),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((65536, 1), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_other_arrays_are_refused(array: npt.NDArray[Any]) -> None:
    with pytest.raises(InputError, match="array"):
        read_picture(array)


@pytest.mark.parametrize("source", [None, 3, [[0, 1]]])
def test_other_things_are_refused(source: Any) -> None:
    with pytest.raises(InputError, match="is not a picture"):
        read_picture(source)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(pixels: Pixels, format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = {1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1]}
    turned = pixels.swapaxes(0, 1)
    seen |= {5: turned, 6: turned[:, ::-1], 7: turned[::-1, ::-1], 8: turned[::-1]}
    options: dict[str, Any] = {"lossless": True} if format == "WEBP" else {}
    picture = read_picture(encoded(Image.fromarray(pixels), format, exif=exif, **options))
    assert picture.pixels.shape == seen[orientation].shape
    assert np.abs(picture.pixels.astype(int) - seen[orientation]).max() <= (20 if format == "JPEG" else 0)
    assert picture.notes == ()


def test_metadata_that_are_damaged_are_said(pixels: Pixels) -> None:
    (note,) = read_picture(encoded(Image.fromarray(pixels), "WEBP", exif=b"nonsense")).notes
    assert "damaged" in note


def test_alpha_is_laid_over_white() -> None:
    array = np.array([[[0, 100, 200, 255], [0, 100, 200, 0], [0, 100, 200, 51]]], np.uint8)
    picture = read_picture(array)
    np.testing.assert_allclose(picture.pixels[0], [[0, 100, 200], [255, 255, 255], [204, 224, 244]], atol=1)
    assert picture.notes == ("transparency is not kept; the picture is laid over white",)


@pytest.mark.parametrize("mode", ["LA", "PA", "RGBA", "La", "RGBa"])
def test_every_mode_with_alpha(mode: str) -> None:
    picture = read_picture(Image.new(mode, (3, 2)))
    assert (picture.pixels == 255).all()
    assert len(picture.notes) == 1


def test_transparent_color_of_a_palette() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.putpixel((1, 0), 1)
    picture = read_picture(encoded(image, "PNG", transparency=0))
    assert picture.pixels.tolist() == [[[255, 255, 255], [10, 20, 30]]]
    assert len(picture.notes) == 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_become_eight(channels: int) -> None:
    picture = read_picture(deep_png(channels, [0] * channels + [65535] * channels))
    assert picture.pixels[0, 1].tolist() == [255, 255, 255]
    assert picture.notes[0] == "16 bits per sample are reduced to 8"


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (128, 0), (129, 1), (32896, 128), (65406, 254), (65407, 255)])
def test_gray_of_sixteen_bits_is_rounded(value: int, expected: int) -> None:
    assert read_picture(deep_png(1, [value])).pixels.tolist() == [[[expected] * 3]]


@pytest.mark.parametrize(
    ("data", "bits"),
    [
        (b"P6 2 1 65535\n" + bytes(12), 16),
        (b"P6 2 1 1023\n" + bytes(12), 10),
        (encoded(Image.fromarray(np.zeros((2, 2), np.uint16)), "TIFF"), 16),
        (encoded(Image.fromarray(np.zeros((2, 2), np.uint16)), "JPEG2000"), 16),
    ],
)
def test_other_deep_files(data: bytes, bits: int) -> None:
    assert read_picture(data).notes == (f"{bits} bits per sample are reduced to 8",)


@pytest.mark.parametrize("factor", [0.5, 100000, -1])
def test_samples_of_unknown_range_are_refused(factor: float) -> None:
    dtype = np.float32 if factor == 0.5 else np.int32
    with pytest.raises(InputError, match="outside 0..65535"):
        read_picture(Image.fromarray(np.full((2, 2), factor, dtype)))


def test_cmyk_becomes_rgb(pixels: Pixels, srgb_profile: bytes) -> None:
    image = Image.fromarray(pixels).convert("CMYK")
    picture = read_picture(encoded(image, "TIFF"))
    np.testing.assert_allclose(picture.pixels, pixels, atol=2)
    assert picture.notes == ("CMYK is converted to RGB plainly, because it has no ICC profile",)
    picture = read_picture(encoded(image, "TIFF", icc_profile=srgb_profile))
    assert picture.icc is None
    assert picture.notes == ("CMYK is converted to RGB", "the ICC profile does not fit the picture and is not kept")


def test_colors_in_another_space_are_converted_by_their_profile() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    image = Image.new("LAB", (2, 1), (255, 128, 128))
    picture = read_picture(encoded(image, "TIFF", icc_profile=lab))
    np.testing.assert_allclose(picture.pixels, 255, atol=2)
    assert picture.icc is None
    assert "converted to sRGB" in picture.notes[-1]


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_profile_is_kept_where_pixels_stay_in_its_space(pixels: Pixels, srgb_profile: bytes, mode: str) -> None:
    image = Image.fromarray(pixels).convert(mode)
    odd = profiles.profile(profiles.Space("odd", ((0.7, 0.3), (0.2, 0.7), (0.15, 0.05)), gamma=1.8))
    picture = read_picture(encoded(image, "PNG", icc_profile=odd))
    assert (picture.icc, picture.notes) == (odd, ())
    assert read_picture(encoded(image, "PNG", icc_profile=srgb_profile)).icc is None


@pytest.mark.parametrize("profile", [b"short", bytes(500)])
def test_profile_that_is_none_is_left_out(pixels: Pixels, profile: bytes) -> None:
    picture = read_picture(encoded(Image.fromarray(pixels), "PNG", icc_profile=profile))
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.icc is None
    assert "ICC profile" in picture.notes[0]


def test_only_the_first_frame_is_kept() -> None:
    frames = [Image.new("RGB", (4, 4), (value, 0, 0)) for value in (0, 100, 200)]
    picture = read_picture(encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]))
    assert not picture.pixels.any()
    assert picture.notes == ("only the first of its 3 frames is kept",)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM", "GIF", "AVIF", "JPEG2000", "QOI"])
def test_truncated_files_are_refused(pixels: Pixels, format: str) -> None:
    data = encoded(Image.fromarray(pixels), format)
    read_picture(data)
    for length in range(0, len(data) * 3 // 4, 7):
        with pytest.raises(InputError, match="the image data is"):
            read_picture(data[:length])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_files_never_raise_anything_else(data: st.DataObject) -> None:
    format = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000", "AVIF"]))
    original = encoded(Image.new("RGB", (16, 16), (10, 200, 30)), format)
    at = data.draw(st.integers(0, len(original) - 1))
    try:
        read_picture(original[:at] + data.draw(st.binary(max_size=8)) + original[at + 1 :])
    except InputError as error:
        assert "the image data" in str(error)


@pytest.mark.parametrize("data", [b"", b"not an image at all", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="is not an image that vqc can read; give a PNG"):
        read_picture(data)


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.png does not exist; check the path"):
        read_picture(tmp_path / "missing.png")
    with pytest.raises(InputError, match="is a folder"):
        read_picture(tmp_path)


def test_file_of_text_is_refused() -> None:
    with pytest.raises(InputError):
        read_picture(io.StringIO("text"))


@pytest.mark.parametrize("size", [(10**9, 10**9), (65536, 1), (12000, 12000), (100000, 100000), (1, 2**31 - 1)])
def test_huge_dimensions_are_refused_before_decoding(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"2\^27"):
        read_picture(png(*size, 8, 2, b"\0"))


def test_pictures_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "sub.png").mkdir()
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "sub.png/c.avif"):
        (tmp_path / name).touch()
    assert find_pictures(tmp_path) == [tmp_path / "a.png", tmp_path / "b.JPG"]
    assert find_pictures(tmp_path, recursive=True)[-1] == tmp_path / "sub.png/c.avif"
