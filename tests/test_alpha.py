"""Transparency comes back bit for bit, costs little, and what nobody sees costs next to nothing; gray stays gray."""

from __future__ import annotations

import io
import sys
import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw, ImageFilter
from test_image import deep_png, encoded
from tiny import picture

from vqcodec.codec import Codec
from vqcodec.errors import FormatError, InputError, SettingsError
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.alpha import pack_alpha, unpack_alpha
from vqcodec.exact.bitstream.sections import ALPHA, GRAY
from vqcodec.image import Picture, parse_color, read_picture, to_pil, write_picture

Pixels = npt.NDArray[np.uint8]
SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def disk(height: int, width: int) -> Pixels:
    """Alpha uint8 [height, width] of a drawn disk with a smooth edge."""
    mask = Image.new("L", (2 * width, 2 * height))
    ImageDraw.Draw(mask).ellipse((width // 2, height // 2, width * 3 // 2, height * 3 // 2), fill=255)
    return np.array(mask.resize((width, height), Image.Resampling.LANCZOS))


def cut_out(pixels: Pixels) -> Pixels:
    """Pixels with the alpha of a disk, uint8 [H, W, 4]."""
    return np.dstack([pixels, disk(*pixels.shape[:2])])


@settings(max_examples=100, deadline=None)
@given(arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 1, 127, 254, 255]) | st.integers(0, 255)))
def test_alpha_comes_back(alpha: Pixels) -> None:
    np.testing.assert_array_equal(unpack_alpha(pack_alpha(alpha), *alpha.shape), alpha)


def test_alpha_costs_little() -> None:
    shape = disk(600, 800)
    soft = np.array(Image.fromarray(shape).filter(ImageFilter.GaussianBlur(20)))
    sizes = {}
    for name, alpha in (("shape", shape), ("soft", soft)):
        payload = pack_alpha(alpha)
        sizes[name] = len(payload), len(encoded(Image.fromarray(alpha), "PNG", optimize=True)), payload[0]
    assert sizes["shape"][0] < 0.7 * sizes["shape"][1] and sizes["shape"][2] == 0
    assert sizes["soft"][0] < sizes["soft"][1] and sizes["soft"][2] == 1
    assert len(pack_alpha(np.zeros((3000, 4000), np.uint8))) < 3000


def test_a_bomb_of_alpha_is_refused_before_memory_is_used() -> None:
    bomb = pack_alpha(np.zeros((1 << 13, 1 << 13), np.uint8))
    tracemalloc.start()
    with pytest.raises(FormatError, match="alpha section is incomplete or not of the picture's size"):
        unpack_alpha(bomb, 100, 100)
    assert tracemalloc.get_traced_memory()[1] < 1 << 23  # the dictionary of LZMA
    tracemalloc.stop()
    assert len(bomb) < 1 << 14


def test_a_python_without_lzma_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lzma", None)
    with pytest.raises(InputError, match="this Python has no lzma"):
        pack_alpha(np.zeros((2, 2), np.uint8))


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "jp2"])
def test_alpha_comes_back_through_files_and_formats(pixels: Pixels, tiny_codec: Codec, suffix: str) -> None:
    original = cut_out(pixels)
    data = tiny_codec.compress(read_picture(original, background=None), 30)
    decoded = tiny_codec.decompress(data)
    file = io.BytesIO()
    assert write_picture(decoded, file, suffix) == ()
    with Image.open(file) as image:
        assert image.mode == "RGBA"
        np.testing.assert_array_equal(np.array(image)[..., 3], original[..., 3])
        seen = original[..., 3] > 0
        np.testing.assert_array_equal(np.array(image)[seen][:, :3], decoded.pixels[seen])


def test_avif_says_that_it_changes_alpha_a_little(pixels: Pixels) -> None:
    original, file = read_picture(cut_out(pixels), background=None), io.BytesIO()
    (note,) = write_picture(original, file, "avif")
    assert note.startswith("transparency is kept with a small loss")
    alpha = read_picture(file.getvalue(), background=None).alpha
    assert alpha is not None and original.alpha is not None
    assert np.abs(alpha.astype(int) - original.alpha).max() <= 4
    assert write_picture(original, io.BytesIO(), "avif", background="red") == ()
    assert write_picture(Picture(pixels), io.BytesIO(), "avif") == ()


@pytest.mark.parametrize("suffix", ["jpg", "bmp", "ppm"])
def test_formats_without_alpha_lay_over_a_background(pixels: Pixels, suffix: str) -> None:
    original = read_picture(cut_out(pixels), background=None)
    for background, corner, notes in ((None, 255, 1), ("black", 0, 0)):
        file = io.BytesIO()
        said = write_picture(original, file, suffix, background=background)
        assert len(said) == notes and all("the picture is laid over white" in note for note in said)
        with Image.open(file) as image:
            assert image.mode == "RGB"
            assert np.abs(np.array(image)[0, 0].astype(int) - corner).max() <= 3


def test_a_background_that_is_asked_for_is_laid_under_in_every_format(pixels: Pixels) -> None:
    file = io.BytesIO()
    original = read_picture(cut_out(pixels), background=None)
    assert write_picture(original, file, "png", background="#204060") == ()
    with Image.open(file) as image:
        assert image.mode == "RGB" and image.getpixel((0, 0)) == (0x20, 0x40, 0x60)
    assert parse_color("rgb(1, 2, 3)") == (1, 2, 3)
    with pytest.raises(SettingsError, match="'nocolor' is not a color"):
        parse_color("nocolor")
    flat = read_picture(cut_out(pixels), background="red")
    assert flat.alpha is None and flat.pixels[0, 0].tolist() == [255, 0, 0]
    assert flat.notes == ("transparency is not kept; the picture is laid over red",)


def test_opaque_alpha_costs_nothing(pixels: Pixels, tiny_codec: Codec) -> None:
    opaque = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    for source in (opaque, pixels):
        assert len(read_picture(source, background=None).ancillary.sections) == 0


@pytest.mark.parametrize("mode", ["LA", "PA", "RGBA", "La", "RGBa"])
def test_every_mode_with_alpha_is_kept(mode: str) -> None:
    read = read_picture(Image.new(mode, (3, 2)), background=None)
    assert read.alpha is not None and not read.alpha.any() and read.notes == ()


def test_a_transparent_color_and_sixteen_bits() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.putpixel((1, 0), 1)
    read = read_picture(encoded(image, "PNG", transparency=0), background=None)
    assert read.alpha is not None and read.alpha.tolist() == [[0, 255]]
    read = read_picture(deep_png(4, [65535, 0, 0, 0x8000, 0, 65535, 0, 65535]), background=None)
    assert read.alpha is not None and read.alpha.tolist() == [[0x80, 255]]
    assert read.notes == ("16 bits per sample are reduced to 8",)


def test_colors_that_nobody_sees_are_made_cheap(tiny_codec: Codec) -> None:
    pixels = picture(160, 200, seed=5)
    noise = np.random.default_rng(0).integers(0, 256, pixels.shape, np.uint8)
    alpha = disk(160, 200)
    hidden = np.where(alpha[..., None] == 0, noise, pixels)
    read = read_picture(np.dstack([hidden, alpha]), background=None)
    seen = alpha > 0
    np.testing.assert_array_equal(read.pixels[seen], pixels[seen])
    again = read_picture(np.dstack([pixels, alpha]), background=None)
    np.testing.assert_array_equal(read.pixels, again.pixels)
    sizes = [len(tiny_codec.compress(Picture(shown), 50)) for shown in (read.pixels, hidden)]
    assert sizes[0] < 0.8 * sizes[1]


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30), st.just(4))))
def test_whatever_is_seen_stays(rgba: Pixels) -> None:
    rgba[..., 3] *= rgba[..., 3] > 200
    read = read_picture(rgba, background=None)
    alpha = np.full(rgba.shape[:2], 255, np.uint8) if read.alpha is None else read.alpha
    np.testing.assert_array_equal(alpha, rgba[..., 3])
    np.testing.assert_array_equal(read.pixels[alpha > 0], rgba[..., :3][alpha > 0])


@pytest.mark.parametrize("shape", [(1, 19), (12, 19), (19, 12), (37, 5), (255, 3)])
def test_one_pixel_alone_is_enough(shape: tuple[int, int]) -> None:
    for place in ((0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, 9 % shape[1]), (shape[0] // 3, shape[1] // 3)):
        rgba = np.zeros((*shape, 4), np.uint8)
        rgba[place] = (10, 200, 30, 236)
        read = read_picture(rgba, background=None)
        assert read.alpha is not None and read.alpha.sum() == read.alpha[place] == 236
        assert np.abs(read.pixels.astype(int) - (10, 200, 30)).max() <= 8


def gray_sources(values: Pixels) -> dict[str, Any]:
    """The same gray picture in all the ways that a picture can be gray."""
    image = Image.fromarray(values)
    return {
        "L": encoded(image, "PNG"),
        "RGB": encoded(image.convert("RGB"), "PNG"),
        "P": encoded(image.convert("P"), "PNG"),
        "JPEG": encoded(image, "JPEG"),
        "I;16": Image.fromarray(values.astype(np.uint16) * 257),
        "LA": encoded(Image.merge("LA", (image, Image.new("L", image.size, 77))), "PNG"),
        "array": values,
    }


@pytest.mark.parametrize("kind", ["L", "RGB", "P", "JPEG", "I;16", "LA", "array"])
def test_gray_stays_gray(pixels: Pixels, tiny_codec: Codec, kind: str) -> None:
    original = read_picture(gray_sources(pixels[..., 1])[kind], background=None)
    data = tiny_codec.compress(original, 50)
    types = [section.type for section in container.read(data).sections]
    assert types == [1, GRAY, ALPHA] if kind == "LA" else [1, GRAY]
    decoded = tiny_codec.decompress(data)
    assert decoded.is_gray and to_pil(decoded).mode == ("LA" if kind == "LA" else "L")
    with_colors = tiny_codec.decode(tiny_codec.unpack(container.read(data)))
    np.testing.assert_array_equal(decoded.pixels[..., 0], np.round(with_colors.mean(axis=2)))
    for suffix in ("png", "tif", "jpg", "bmp", "ppm", "jp2"):
        file = io.BytesIO()
        write_picture(decoded, file, suffix)
        with Image.open(file) as image:
            assert image.mode in ("L", "LA")
            assert suffix == "jpg" or kind == "LA" or np.array_equal(np.array(image), decoded.pixels[..., 0])


def test_colors_are_no_gray(pixels: Pixels, tiny_codec: Codec) -> None:
    almost = np.repeat(pixels[..., :1], 3, axis=2)
    almost[-1, -1, 2] ^= 1
    data = tiny_codec.compress(read_picture(almost), 50)
    assert [section.type for section in container.read(data).sections] == [1]


def test_gray_with_a_profile_of_rgb_is_rgb(pixels: Pixels) -> None:
    gray = Picture(np.repeat(pixels[..., :1], 3, axis=2), icc=b"profile")
    assert gray.is_gray and to_pil(gray).mode == "RGB"


def test_alpha_of_another_size_is_refused(pixels: Pixels) -> None:
    with pytest.raises(InputError, match=r"alpha of shape \(3, 3\) is not that of pixels \(70, 101, 3\)"):
        Picture(pixels, alpha=np.zeros((3, 3), np.uint8))
