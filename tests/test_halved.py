"""Half the width and height in a file: what is coded, what is shown, and that all ways to it show the same."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conftest import Run
from PIL import Image

import vqcodec
from vqcodec.api import load_coder, picture_of
from vqcodec.codec import Codec
from vqcodec.coder import Coder
from vqcodec.decoder.showing import doubled
from vqcodec.errors import FormatError
from vqcodec.exact import accounting, tokens
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.container import Container
from vqcodec.exact.bitstream.sections import HALVED, Section
from vqcodec.exact.tiles import Rectangle
from vqcodec.image import Picture
from vqcodec.image.parts import halved

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def coder(context_model: Path) -> Coder:
    return load_coder(context_model)


def smooth(height: int, width: int) -> Pixels:
    """A picture of which half the size says nearly all."""
    y, x = np.mgrid[:height, :width]
    planes = [128 + 90 * np.sin(x / 37 + k) * np.cos(y / 29 - k) for k in range(3)]
    return np.dstack(planes).round().astype(np.uint8)


def half_of(pixels: Pixels) -> Pixels:
    """The picture that is coded, by Pillow: an odd side's last row or column counts twice."""
    height, width = pixels.shape[:2]
    if height % 2:
        pixels = np.concatenate([pixels, pixels[-1:]])
    if width % 2:
        pixels = np.concatenate([pixels, pixels[:, -1:]], axis=1)
    size = -(-width // 2), -(-height // 2)
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


@pytest.mark.parametrize("size", [(96, 128), (97, 131), (1, 1), (2, 5)])
def test_it_is_the_file_of_the_half_picture_and_shows_it_enlarged(coder: Coder, size: tuple[int, int]) -> None:
    pixels = smooth(*size)
    parsed = container.read(coder.compress(Picture(pixels), 60, half=True))
    small = container.read(coder.compress(Picture(half_of(pixels)), 60))
    assert parsed.is_halved and (parsed.header.height, parsed.header.width) == size
    assert parsed.indices == small.indices and not small.is_halved
    shown, shown_small = coder.picture_of(parsed).pixels, coder.picture_of(small).pixels
    assert shown.shape == pixels.shape
    width, height = 2 * shown_small.shape[1], 2 * shown_small.shape[0]
    enlarged = np.array(Image.fromarray(shown_small).resize((width, height), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(shown, enlarged[: size[0], : size[1]])


def test_lanczos_by_its_formula() -> None:
    """What FORMAT.md says of the kernel, in float64."""
    rng = np.random.default_rng(3)
    small = rng.integers(0, 256, (14, 11, 3), np.uint8)

    def weights(count: int, length: int) -> npt.NDArray[np.float64]:
        away = (np.arange(count)[:, None] + 0.5) / 2 - (np.arange(length) + 0.5)
        kernel = np.where(np.abs(away) < 3, np.sinc(away) * np.sinc(away / 3), 0)
        return kernel / kernel.sum(1, keepdims=True)

    rows = np.einsum("xj,ijc->ixc", weights(22, 11), small.astype(float)).round().clip(0, 255)
    wanted = np.einsum("yi,ixc->yxc", weights(27, 14), rows).round().clip(0, 255)
    found = doubled(small, Rectangle(0, 14, 0, 11), Rectangle(0, 27, 0, 22))
    assert np.abs(found - wanted).max() <= 1


@pytest.mark.parametrize("band", [1, 7, 20])
def test_bands_of_rows_change_nothing(band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(band).integers(0, 256, (63, 40, 3), np.uint8)
    seen, window = Rectangle(3, 66, 0, 40), Rectangle(11, 121, 5, 80)
    whole = halved(pixels).astype(int), doubled(pixels, seen, window).astype(int)
    monkeypatch.setattr("vqcodec.image.parts._BAND", band)
    for found, wanted in zip((halved(pixels), doubled(pixels, seen, window)), whole, strict=True):
        assert np.abs(found - wanted).max() <= 1


def test_parts_are_those_of_the_whole(coder: Coder, context_model: Path) -> None:
    data = coder.compress(Picture(smooth(150, 203)), 60, half=True)
    whole = picture_of(data, context_model).pixels.astype(int)
    for box in ((0, 0, 203, 150), (17, 31, 120, 90), (100, 0, 101, 1), (202, 149, 203, 150), (3, 77, 203, 150)):
        left, upper, right, lower = box
        crop = picture_of(data, context_model, crop=box).pixels
        assert np.abs(crop - whole[upper:lower, left:right]).max() <= 1
    thumbnail = picture_of(data, context_model, thumbnail=40).pixels
    small = np.array(Image.fromarray(whole.astype(np.uint8)).resize((40, 30), Image.Resampling.LANCZOS))
    assert np.abs(thumbnail - small.astype(int)).mean() < 1


def test_tiles(coder: Coder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vqcodec.coder.TILED_LATENTS", 20)
    monkeypatch.setattr("vqcodec.coder.TILE", 16)
    pixels = smooth(600, 700)
    parsed = container.read(coder.compress(Picture(pixels), 40, half=True))
    assert parsed.header.tile == 16
    assert coder.strips_of(parsed) is None
    assert coder.picture_of(parsed).pixels.shape == pixels.shape


def test_transparency_and_gray_are_of_the_whole(coder: Coder) -> None:
    gray = np.repeat(smooth(41, 33)[..., :1], 3, axis=2)
    alpha = np.arange(41 * 33).reshape(41, 33).astype(np.uint8)
    found = coder.decompress(coder.compress(Picture(gray, alpha=alpha), 60, half=True))
    assert found.alpha is not None
    np.testing.assert_array_equal(found.alpha, alpha)


def test_indices_tokens_and_accounts(context_model: Path) -> None:
    codec = Codec.open(context_model)
    data = codec.compress(Picture(smooth(97, 131)), 60, half=True)
    parsed = container.read(data)
    encoded = codec.unpack(parsed)
    assert encoded.size.is_halved and encoded.size.coded[:2] == (66, 49)
    assert codec.pack(encoded) == data
    np.testing.assert_array_equal(codec.decode(encoded), codec.picture_of(parsed).pixels)
    model = codec.metadata, codec.prior
    assert codec.pack(tokens.complete(tokens.from_npz(tokens.to_npz(encoded, *model)), *model)) == data
    facts = accounting.analyze(parsed, codec.metadata, codec.prior)
    assert facts["halved"] and (facts["width"], facts["height"]) == (131, 97)
    assert (facts["indices"]["h"], facts["indices"]["w"]) == (-(-49 // 16), -(-66 // 16))
    assert sum(facts["sections"].values()) == len(data) and facts["sections"]["halved"] == 2


def test_a_trial_shows_what_the_file_does(coder: Coder) -> None:
    data, shown = coder.trial(Picture(smooth(97, 131)), 60, 1, half=True)
    np.testing.assert_array_equal(shown().pixels, coder.decompress(data).pixels)


def test_it_is_nothing_for_pixels_without_loss(coder: Coder) -> None:
    data = coder.without_loss(Picture(np.zeros((20, 20, 3), np.uint8)))
    assert data is not None
    parsed: Container = container.read(data)
    with pytest.raises(FormatError, match="half"):
        container.read(container.write_sections(parsed.header, [*parsed.sections, Section(HALVED, b"")]))


def test_the_command_line(run: Run, photo: Path, context_model: Path) -> None:
    packed = photo.with_suffix(".vqc")
    asked = run("compress", photo, "--model", context_model, "--half", "-q", 30, "--json")
    assert asked.code == 0 and b'"halved": true' in asked.out and "half the width" not in asked.err
    assert run("info", packed, "--model", context_model).out.count(b"half the width and height") == 1
    assert run("verify", photo, packed, "--model", context_model).code == 0
    smallest = run("compress", photo, "--model", context_model, "-q", 1, "-f")
    assert smallest.code == 0
    limit = packed.stat().st_size * 9 // 10  # a tiny model's files do not all grow with quality
    found = run("compress", photo, "--model", context_model, "--max-bytes", limit, "-f")
    assert found.code == 0 and b"half the size" in found.out and "half the width" in found.err
    assert packed.stat().st_size <= limit


def test_python(photo: Path, context_model: Path) -> None:
    data = vqcodec.compress(photo, 50, context_model, half=True)
    with Image.open(photo) as image:
        assert vqcodec.decompress(data, context_model).size == image.size
    assert container.read(data).is_halved
    assert len(data) < len(vqcodec.compress(photo, 50, context_model))
    assert io.BytesIO(data).read(4) == b"\x89VQC"
