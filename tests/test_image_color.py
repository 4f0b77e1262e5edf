"""Colors that are not sRGB's are converted, kept by a profile or noted; sRGB's own profile costs nothing."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms
from test_image import chunk, encoded

from vqcodec.exact.bitstream import profiles
from vqcodec.exact.bitstream.profiles import SPACES, Space, profile
from vqcodec.image import read_picture, to_pil

Pixels = npt.NDArray[np.uint8]
BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))


@pytest.fixture(scope="module")
def ramp() -> Pixels:
    """All grays, and colors."""
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    colors = np.random.default_rng(1).integers(40, 216, (16, 16, 3), dtype=np.uint8)
    return np.concatenate([gray, colors])


def png_with(pixels: Pixels, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with more chunks before its pixels."""
    data = encoded(Image.fromarray(pixels), "PNG")
    return data[:33] + b"".join(chunk(kind, payload) for kind, payload in chunks) + data[33:]


def gama(gamma: float) -> tuple[bytes, bytes]:
    return b"gAMA", round(100000 * gamma).to_bytes(4, "big")


def chrm(*places: tuple[float, float]) -> tuple[bytes, bytes]:
    return b"cHRM", b"".join(round(100000 * value).to_bytes(4, "big") for place in places for value in place)


def as_srgb(pixels: Pixels, icc: bytes | None) -> Pixels:
    """Pixels as a viewer shows them."""
    image = Image.fromarray(pixels)
    if icc is None:
        return pixels
    source, target = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
    return np.asarray(ImageCms.profileToProfile(image, source, target, outputMode="RGB"))


def srgb_encoded(linear: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Values 0..255 of linear light 0..1."""
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


def test_a_curve_that_is_not_srgb_s_is_converted(ramp: Pixels) -> None:
    picture = read_picture(png_with(ramp, gama(1.0)))
    np.testing.assert_allclose(picture.pixels, srgb_encoded(ramp / 255), atol=1)
    assert picture.notes == ("the colors are converted to sRGB by the PNG's gAMA",)


@pytest.mark.parametrize("chunks", [[gama(0.45455)], [(b"sRGB", b"\0"), gama(1.0)], [(b"cICP", b"\x01\x0d\0\x01")]])
def test_srgb_by_any_chunk_changes_nothing(ramp: Pixels, chunks: list[tuple[bytes, bytes]]) -> None:
    picture = read_picture(png_with(ramp, *chunks))
    np.testing.assert_array_equal(picture.pixels, ramp)
    assert (picture.icc, picture.notes) == (None, ())


def test_other_primaries_become_a_profile(ramp: Pixels) -> None:
    picture = read_picture(png_with(ramp, gama(1 / 2.2), chrm(profiles.D65, *BT2020)))
    np.testing.assert_array_equal(picture.pixels, ramp)
    assert picture.notes == ("an ICC profile is made of the PNG's gAMA and cHRM",)
    gray = as_srgb(picture.pixels, picture.icc)[:16]
    np.testing.assert_allclose(gray, ramp[:16], atol=2)  # grays stay gray
    red = np.array([[[200, 50, 50]]], np.uint8)
    linear = ((red / 255 + 0.055) / 1.055) ** 2.4
    to_srgb = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
    expected = srgb_encoded((to_srgb @ linear[0, 0]).clip(0, 1))
    np.testing.assert_allclose(as_srgb(red, picture.icc)[0, 0], expected, atol=2)


def test_code_points_of_png_and_avif(ramp: Pixels) -> None:
    picture = read_picture(png_with(ramp, (b"cICP", b"\x0c\x0d\0\x01")))
    assert picture.icc == profile(SPACES[1])
    assert "color numbers (12, 13)" in picture.notes[0]
    (note,) = read_picture(png_with(ramp, (b"cICP", b"\x01\x10\0\x01"))).notes
    assert "(1, 16) are not known" in note
    data = encoded(Image.fromarray(ramp), "AVIF", quality=90)
    at = data.index(b"colrnclx") + 8
    assert read_picture(data).notes == ()
    picture = read_picture(data[:at] + b"\0\x0c\0\x0d" + data[at + 4 :])
    assert picture.icc == profile(SPACES[1])


@pytest.mark.parametrize("chunks", [[gama(0.0)], [chrm(*[(0.3, 0.0)] * 4)], [chrm(*[(0.3, 0.3)] * 4)]])
def test_nonsense_is_ignored_with_a_note(ramp: Pixels, chunks: list[tuple[bytes, bytes]]) -> None:
    picture = read_picture(png_with(ramp, *chunks))
    np.testing.assert_array_equal(picture.pixels, ramp)
    assert picture.notes == ("what the file says of its colors makes no sense and is ignored",)


@pytest.mark.parametrize("space", [Space("mine", profiles.SRGB_PRIMARIES), *SPACES.values()])
def test_usual_profiles_are_known_by_what_they_do(ramp: Pixels, space: Space) -> None:
    renamed = profile(space._replace(name="of another vendor"))
    icc = read_picture(encoded(Image.fromarray(ramp), "PNG", icc_profile=renamed)).icc
    assert icc == (profile(space) if space in SPACES.values() else None)


def test_profiles_are_what_they_say(ramp: Pixels) -> None:
    """The profile that is made shows linear light as LittleCMS's own sRGB profile does."""
    made: Any = ImageCms.ImageCmsProfile(io.BytesIO(profile(Space("sRGB", profiles.SRGB_PRIMARIES)))).profile
    usual: Any = ImageCms.createProfile("sRGB")
    own = ImageCms.ImageCmsProfile(usual).profile
    for name in ("red_colorant", "green_colorant", "blue_colorant"):
        np.testing.assert_allclose(getattr(made, name)[0], getattr(own, name)[0], atol=2e-4)
    assert made.profile_description == "sRGB"
    np.testing.assert_array_equal(as_srgb(ramp, None), ramp)
    assert to_pil(read_picture(ramp)).info == {}
