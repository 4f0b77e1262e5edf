"""Drawn pictures: their pixels without loss in a file, and when such a file is chosen."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from stub_coder import PICTURE, STEADY, StubCoder, bpp
from test_cli_errors import says
from tiny import Run, picture

import vqcodec
import vqcodec.pillow
from vqcodec.codec import Codec
from vqcodec.errors import FormatError, InputError, ModelError, SettingsError, TargetError
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.pixels import MOST_COLORS, pack_pixels, unpack_pixels
from vqcodec.exact.bitstream.sections import INDICES, PIXELS, Section
from vqcodec.goals import Goal
from vqcodec.image import Picture, drawn_pixels
from vqcodec.rate_control import seek

Pixels = npt.NDArray[np.uint8]


def page(height: int = 120, width: int = 160) -> Pixels:
    """A light page with marks in two colors."""
    pixels = np.full((height, width, 3), (255, 250, 240), np.uint8)
    pixels[::9, 10:150:3] = 0
    pixels[4::9, 20:120:7] = (200, 30, 90)
    return pixels


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 3, 16, 256, 257, 900]))
def test_pixels_come_back(seed: int, height: int, width: int, colors: int) -> None:
    random = np.random.default_rng(seed)
    palette = random.integers(0, 256, (colors, 3), np.uint8)
    pixels = palette[random.integers(0, colors, (height, width))]
    packed = pack_pixels(pixels)
    assert packed is not None
    back = unpack_pixels(packed, height, width)
    assert back.dtype == np.uint8 and back.flags.c_contiguous
    np.testing.assert_array_equal(back, pixels)


@pytest.mark.parametrize("count", [256, 257, MOST_COLORS, MOST_COLORS + 1])
def test_as_many_colors_as_indices_have_numbers(count: int) -> None:
    numbers = np.arange(count, dtype=np.uint32) * 251
    pixels = np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], axis=1).astype(np.uint8)[None]
    packed = pack_pixels(pixels)
    if count > MOST_COLORS:
        assert packed is None
    else:
        assert packed is not None
        np.testing.assert_array_equal(unpack_pixels(packed, 1, count), pixels)


def test_what_is_drawn() -> None:
    assert drawn_pixels(Picture(page())) is not None
    assert drawn_pixels(Picture(picture(120, 160, seed=1))) is None
    assert drawn_pixels(Picture(np.zeros((5, 1, 3), np.uint8))) is None
    assert drawn_pixels(Picture(np.zeros((2, (1 << 23) + 1, 3), np.uint8))) is None
    alpha = np.zeros((120, 160), np.uint8)
    alpha[30:60, 40:90] = 9
    fill = picture(120, 160, seed=1)
    fill[30:60, 40:90] = (1, 2, 3)
    seen = drawn_pixels(Picture(fill, alpha=alpha))
    assert seen is not None and (seen == (1, 2, 3)).all(), "what nobody sees costs nothing"
    assert drawn_pixels(Picture(fill)) is None
    alpha[0, 0], alpha[70, 80] = 0, 1
    seen = drawn_pixels(Picture(fill, alpha=alpha))
    assert seen is not None and (seen.reshape(-1, 3)[: 70 * 160 + 80] == (1, 2, 3)).all()
    assert (seen.reshape(-1, 3)[70 * 160 + 80 :] == fill[70, 80]).all(), "as the last that is seen"
    unseen = drawn_pixels(Picture(fill, alpha=np.zeros_like(alpha)))
    assert unseen is not None and (unseen == fill[0, 0]).all()


def test_a_file_and_all_that_is_kept(tiny_codec: Codec, tiny_model: Path) -> None:
    alpha = np.full((120, 160), 255, np.uint8)
    alpha[50:] = np.arange(160)
    kept = Picture(page(), np.random.default_rng(1).bytes(99), (), alpha, b"some EXIF", b"some XMP")
    data = tiny_codec.without_loss(kept, 20)
    assert data is not None
    parsed = container.read(data)
    assert (parsed.header.quality, parsed.header.tile) == (20, 0)
    with pytest.raises(InputError, match="has no indices, its pixels are stored without loss; .* --lossy"):
        parsed.indices  # noqa: B018
    back = tiny_codec.decompress(data)
    np.testing.assert_array_equal(back.pixels[alpha > 0], page()[alpha > 0])
    np.testing.assert_array_equal(back.alpha, alpha)
    assert (back.icc, back.exif, back.xmp) == (kept.icc, kept.exif, kept.xmp)
    whole, part = (vqcodec.decompress(data, tiny_model, crop=crop) for crop in (None, (30, 20, 91, 80)))
    assert np.array_equal(np.asarray(part), np.asarray(whole.crop((30, 20, 91, 80))))
    assert vqcodec.decompress(data, tiny_model, thumbnail=40).size == (40, 30)
    gray = tiny_codec.without_loss(Picture(np.repeat(page()[..., :1], 3, axis=2)))
    assert gray is not None and vqcodec.decompress(gray, tiny_model).mode == "L"
    with Image.open(io.BytesIO(data)) as opened:
        assert isinstance(opened, vqcodec.pillow.VqcImageFile)
        opened.model = tiny_model
        assert np.array_equal(np.asarray(opened), np.asarray(whole))


def test_what_nobody_sees_costs_little_and_is_in_no_thumbnail(tiny_codec: Codec, tiny_model: Path) -> None:
    image = Image.new("RGBA", (400, 200))
    draw = ImageDraw.Draw(image)
    draw.rectangle((10, 10, 60, 14), "red")
    for place in range(8):
        draw.text((20, 40 + 18 * place), "white lettering on nothing", "white")
    pixels = np.asarray(image)
    data = tiny_codec.without_loss(Picture(pixels[..., :3], alpha=pixels[..., 3]))
    assert data is not None
    packed = container.read(data).pixels
    assert packed is not None and len(packed) < 150
    small = vqcodec.decompress(data, tiny_model, thumbnail=80)
    assert np.array_equal(np.asarray(small), np.asarray(image.resize((80, 40), Image.Resampling.LANCZOS)))
    lettering = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small).crop((0, 8, 80, 40))
    assert np.asarray(small)[8:, :, 3].any() and np.asarray(lettering).min() >= 250


def test_a_flat_color_takes_few_bytes(tiny_codec: Codec) -> None:
    for color in ((128, 128, 128), (0, 0, 0), (240, 80, 0)):
        flat = np.full((480, 640, 3), color, np.uint8)
        for quality in (20, 50, 80):
            data = vqcodec.compress(flat, quality, tiny_codec)
            assert len(data) <= 50
            np.testing.assert_array_equal(tiny_codec.decompress(data).pixels, flat)


def test_a_wrong_file_is_refused(tiny_codec: Codec, context_model: Path) -> None:
    data = tiny_codec.without_loss(Picture(page()))
    assert data is not None
    parsed = container.read(data)
    for faulty, text in (
        (replace(parsed.header, index_crc=1), "the pixels do not match their checksum"),
        (replace(parsed.header, height=121), "not of the picture's size"),
        (replace(parsed.header, K=33), "the header says K=33, the model has K=32"),
        (replace(parsed.header, tile=16), "of which pixels without loss have none"),
    ):
        with pytest.raises(FormatError, match=text):
            tiny_codec.decompress(container.write_sections(faulty, parsed.sections))
    with pytest.raises(ModelError, match="was made by the model"):
        Codec.open(context_model).decompress(data)
    for sections, text in (((), "no index section and no pixels"), ((INDICES, PIXELS), "indices and pixels, of which")):
        with pytest.raises(FormatError, match=text):
            container.read(container.write_sections(parsed.header, [Section(kind, b"") for kind in sections]))


def test_without_lzma_drawn_pictures_get_indices(tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_codec.without_loss(Picture(page()))
    assert data is not None
    monkeypatch.setitem(sys.modules, "lzma", None)
    assert tiny_codec.without_loss(Picture(page())) is None
    with pytest.raises(InputError, match="this Python has no lzma, which .* pixels without loss need"):
        tiny_codec.decompress(data)


def exact(size_bytes: int) -> StubCoder:
    """A stub whose picture takes so many bytes without loss."""
    coder = StubCoder()
    coder.exact_bytes = size_bytes
    return coder


def test_a_quality_takes_it_where_it_is_not_larger() -> None:
    for more_bytes, is_lossless in ((-300, True), (0, True), (16, True), (17, False)):
        found = exact(STEADY[60] + more_bytes).seek(Goal(31))
        assert (found.is_lossless, found.quality) == (is_lossless, 31)
    found = exact(STEADY[60]).seek(Goal(31, max_bytes=STEADY[60] - 1))
    assert not found.is_lossless and found.quality == 30.5
    assert exact(STEADY[40]).seek(Goal(31, max_bytes=STEADY[40])).is_lossless


def test_a_size_is_met_without_a_search() -> None:
    for goal in (Goal(max_bytes=700), Goal(target_bpp=bpp(700)), Goal(target_bpp=bpp(9999), max_bytes=700)):
        coder = exact(700)
        found = coder.seek(goal)
        assert found.is_lossless and len(found.data) == 700 and coder.made == []
        coder = exact(704)
        assert not coder.seek(goal).is_lossless and coder.made
    assert exact(60).seek(Goal(max_bytes=99)).quality == 100, "which no quality keeps within"
    with pytest.raises(SettingsError, match="effort 10 "):
        exact(60).seek(Goal(max_bytes=99), 10)


def test_a_score_takes_it_where_nothing_much_smaller_reaches_that() -> None:
    wanted_db = StubCoder().psnr_db(100)
    for size, is_lossless in ((STEADY[100] + 16, True), (STEADY[100] + 17, False), (10, True)):
        found = exact(size).seek(Goal(target_psnr_db=wanted_db))
        assert found.is_lossless == is_lossless and found.score == (100 if is_lossless else pytest.approx(wanted_db))
    assert exact(10**6).seek(Goal(target_psnr_db=99)).is_lossless, "which no quality reaches"
    with pytest.raises(TargetError):
        exact(10).seek(Goal(target_psnr_db=100.5))
    found = exact(3000).seek(Goal(target_psnr_db=wanted_db, max_bytes=STEADY[90]))
    assert not found.is_lossless and found.notes
    assert exact(STEADY[80]).seek(Goal(target_psnr_db=wanted_db, max_bytes=STEADY[80])).is_lossless


def test_lossy_files_always_have_indices(tiny_codec: Codec) -> None:
    assert not seek(exact(10), PICTURE, Goal(), lossy=True).is_lossless
    for data in (vqcodec.compress(page(), model=tiny_codec, lossy=True), tiny_codec.compress(Picture(page()))):
        assert container.read(data).pixels is None
    assert container.read(tiny_codec.trial(Picture(page()), 50, 1)[0]).pixels is None
    assert container.read(vqcodec.compress(page(), model=tiny_codec)).pixels is not None


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """A PNG of a page."""
    path = tmp_path / "page.png"
    Image.fromarray(page()).save(path)
    return path


def test_compress_says_it(run: Run, drawn: Path, tmp_path: Path, tiny_model: Path) -> None:
    options = ("--model", tiny_model, "-q", "95", "-f")
    result = run("compress", *options, drawn)
    assert result.out.decode().rstrip().endswith(" bpp, without loss") and result.err == ""
    facts = json.loads(run("compress", *options, "--json", drawn).out)
    assert facts["lossless"] is True and facts["bytes"] == (tmp_path / "page.vqc").stat().st_size
    facts = json.loads(run("compress", *options, "--json", "--lossy", drawn).out)
    assert facts["lossless"] is False and container.read((tmp_path / "page.vqc").read_bytes()).pixels is None
    found = run("compress", "--model", tiny_model, "-f", "--max-bytes", 9999, drawn).out.decode()
    assert found.rstrip().endswith(" bpp, without loss")
    found = run("compress", "--model", tiny_model, "-f", "--target-psnr", 99, drawn).out.decode()
    assert found.rstrip().endswith(" bpp, without loss")


def test_a_manifest_says_it(run: Run, drawn: Path, tmp_path: Path, tiny_model: Path) -> None:
    Image.fromarray(picture(60, 70, seed=1)).save(tmp_path / "photo.png")
    out, manifest = tmp_path.with_name("out"), tmp_path.with_name("done.jsonl")
    assert run("compress", tmp_path, "-o", out, "--manifest", manifest, "--model", tiny_model, "--psnr").code == 0
    head, *lines = map(json.loads, manifest.read_text().splitlines())
    assert head["lossy"] is False
    said = {facts["name"]: (facts.get("lossless"), facts["psnr_db"] == 100) for facts in lines}
    assert said == {"page.png": (True, True), "photo.png": (None, False)}


def test_what_other_commands_make_of_it(run: Run, drawn: Path, tmp_path: Path, tiny_model: Path) -> None:
    packed, options = tmp_path / "page.vqc", ("--model", tiny_model)
    run("compress", *options, drawn)
    text = run("info", *options, "--check", packed).out.decode()
    assert "without loss" in text and "pixels themselves" in text and "S_index" not in text
    facts = json.loads(run("info", *options, "--json", packed).out)
    assert facts["lossless"] is True and facts["indices"] is None and facts["sections"]["pixels"] > 0
    assert json.loads(run("verify", *options, "--json", drawn, packed).out)["psnr_db"] == 100
    assert says(run("tokens", *options, packed), "has no indices, its pixels are stored without loss")
    assert run("decompress", *options, packed, "-o", tmp_path / "back.webp").code == 0
    with Image.open(tmp_path / "back.webp") as back:
        assert np.array_equal(np.asarray(back), page())
    parsed = container.read(packed.read_bytes())
    packed.write_bytes(container.write_sections(replace(parsed.header, index_crc=1), parsed.sections))
    assert run("info", *options, packed).code == 0
    assert says(run("info", *options, "--check", packed), "the pixels do not match their checksum")
