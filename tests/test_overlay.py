"""Drawn parts without loss over decoded indices: what they are, their files, and when such a file is chosen."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from stub_coder import STEADY, StubCoder, bpp
from test_cli_errors import says
from test_drawn import page
from tiny import Run, picture

import vqcodec
import vqcodec.pillow
from vqcodec.codec import Codec
from vqcodec.errors import FormatError, InputError, TargetError, VqcError
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.pixels import MOST_COLORS, Overlay, pack_overlay, unpack_overlay
from vqcodec.exact.bitstream.sections import INDICES, OVERLAY, PIXELS, Section
from vqcodec.goals import Goal
from vqcodec.image import Drawn, Picture, drawn_parts, read_picture
from vqcodec.image.parts import laid_over

Pixels = npt.NDArray[np.uint8]
HEIGHT, WIDTH = 240, 320
PHOTO = slice(64, 192), slice(96, 256)
SAMPLES = Path(__file__).parent.parent / "samples"


def article(seed: int = 1) -> Pixels:
    """A page with a photograph in its middle, whose edges are those of blocks."""
    pixels = np.concatenate([page(), page()]).repeat(2, axis=1)[:HEIGHT, :WIDTH]
    pixels[PHOTO] = picture(128, 160, seed)
    pixels[PHOTO] ^= np.random.default_rng(seed).integers(0, 8, (128, 160, 3), np.uint8)
    return pixels


def parts_of(pixels: Pixels, alpha: Pixels | None = None) -> Drawn:
    """The drawn parts of an article."""
    drawn = drawn_parts(Picture(pixels, alpha=alpha))
    assert drawn is not None
    return drawn


@pytest.fixture
def overlaid(tiny_codec: Codec) -> bytes:
    """The file of an article with its drawn parts without loss."""
    return tiny_codec.compress(Picture(article()), 60, 1, parts_of(article()))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 16, 255, 256, 900]))
def test_overlays_come_back(seed: int, height: int, width: int, colors: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (colors, 3), np.uint8)[random.integers(0, colors, (height, width))]
    drawn = random.random((height, width)) < random.random()
    packed = pack_overlay(Overlay(pixels, drawn))
    assert (packed is None) == (not drawn.any())
    if packed is not None:
        back = unpack_overlay(packed, height, width)
        np.testing.assert_array_equal(back.drawn, drawn)
        np.testing.assert_array_equal(back.pixels, pixels * drawn[..., None])


@pytest.mark.parametrize("count", [255, 256, MOST_COLORS - 1, MOST_COLORS])
def test_as_many_colors_as_indices_have_numbers_but_one(count: int) -> None:
    numbers = np.arange(count + 1, dtype=np.uint32) * 251
    pixels = np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], axis=1).astype(np.uint8)[None]
    overlay = Overlay(pixels, numbers[None] > 0)
    packed = pack_overlay(overlay)
    assert (packed is None) == (count == MOST_COLORS)
    if packed is not None:
        np.testing.assert_array_equal(unpack_overlay(packed, 1, count + 1).pixels[:, 1:], pixels[:, 1:])


def test_drawn_parts_are_what_lies_around_a_photograph() -> None:
    overlay, packed, under = parts_of(article())
    expected = np.ones((HEIGHT, WIDTH), bool)
    expected[PHOTO] = False
    np.testing.assert_array_equal(overlay.drawn, expected)
    np.testing.assert_array_equal(under[PHOTO], article()[PHOTO])
    there = under[60:64, 96:256].astype(int) - under[64:68, 96:256]
    assert np.abs(there).mean() < np.abs(article()[60:64, 96:256].astype(int) - article()[64:68, 96:256]).mean() / 2
    assert len(packed) < 1000


@pytest.mark.parametrize("name", ["astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg"])
def test_photographs_have_none(name: str) -> None:
    assert drawn_parts(read_picture(SAMPLES / name)) is None


def test_what_is_drawn_as_a_whole_or_hardly_has_none() -> None:
    assert drawn_parts(Picture(np.concatenate([page(), page()]))) is None
    speck = page(160, 160)
    speck[64:96, 64:96] = picture(32, 32, 1)
    assert drawn_parts(Picture(speck)) is None, "no photograph is as small"
    assert drawn_parts(Picture(np.full((200, 300, 3), 9, np.uint8))) is None
    flat = picture(240, 320, 1)
    flat[:, :160] = 7
    assert drawn_parts(Picture(flat)) is None, "what is flat costs little as indices"
    for shape in ((1, 1), (1, 70), (70, 1), (17, 33)):
        assert drawn_parts(Picture(picture(70, 70, 1)[: shape[0], : shape[1]])) is None


def test_what_nobody_sees_is_no_part() -> None:
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:32] = 0
    overlay, _, under = parts_of(article(), alpha)
    assert not overlay.drawn[:32].any() and overlay.drawn[32:64].all()
    other = article()
    other[:32] = 99
    np.testing.assert_array_equal(parts_of(other, alpha).under, under)


@pytest.mark.parametrize("gray", [False, True])
def test_drawn_parts_come_back_exactly(tiny_codec: Codec, context_model: Path, gray: bool) -> None:
    pixels = np.repeat(article()[..., :1], 3, axis=2) if gray else article()
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[200:] = np.arange(WIDTH) % 256
    kept = Picture(pixels, b"profile", (), alpha, b"some EXIF", b"some XMP")
    drawn = parts_of(pixels, alpha)
    for codec in (tiny_codec, Codec.open(context_model)):
        data = codec.compress(kept, 60, 1, drawn)
        back = codec.decompress(data)
        np.testing.assert_array_equal(back.pixels[drawn.overlay.drawn], pixels[drawn.overlay.drawn])
        np.testing.assert_array_equal(back.alpha, alpha)
        assert (back.icc, back.exif, back.xmp, container.read(data).is_gray) == (*kept_of(kept), gray)
        found, shown = codec.trial(kept, 60, 1, drawn)
        assert found == data and np.array_equal(shown().pixels, back.pixels)
        under = codec.decompress(codec.compress(replace(kept, pixels=drawn.under), 60, 1)).pixels
        np.testing.assert_array_equal(back.pixels[PHOTO], under[PHOTO])


def kept_of(kept: Picture) -> tuple[bytes | None, ...]:
    """What a file keeps besides pixels and alpha."""
    return kept.icc, kept.exif, kept.xmp


def test_crops_are_those_of_the_whole(overlaid: bytes, tiny_model: Path) -> None:
    whole = vqcodec.decompress(overlaid, tiny_model)
    for box in ((0, 0, 90, 60), (90, 60, 300, 200), (100, 70, 101, 71), (0, 0, WIDTH, HEIGHT)):
        part = vqcodec.decompress(overlaid, tiny_model, crop=box)
        assert np.array_equal(np.asarray(part), np.asarray(whole.crop(box)))
    small = vqcodec.decompress(overlaid, tiny_model, thumbnail=80)
    expected = whole.resize((80, 60), Image.Resampling.LANCZOS)
    assert np.array_equal(np.asarray(small), np.asarray(expected))
    with Image.open(io.BytesIO(overlaid)) as opened:
        assert isinstance(opened, vqcodec.pillow.VqcImageFile)
        opened.model = tiny_model
        assert np.array_equal(np.asarray(opened), np.asarray(whole))


def test_a_sketch_shows_it_too(overlaid: bytes, tiny_codec: Codec) -> None:
    drawn = parts_of(article()).overlay
    whole = tiny_codec.decompress(overlaid).pixels
    small = np.asarray(Image.fromarray(whole).resize((80, 60), Image.Resampling.LANCZOS))
    under = np.asarray(Image.fromarray(np.where(drawn.drawn[..., None], np.uint8(128), whole)).resize((80, 60)))
    shown = laid_over(under, drawn, (slice(0, HEIGHT), slice(0, WIDTH)))
    assert np.abs(shown.astype(int) - small)[:14].max() <= 2, "where all is drawn it is the same"
    assert np.abs(shown[20:44, 28:60].astype(int) - under[20:44, 28:60]).max() <= 2, "and under nothing what was there"


def test_thumbnails_have_no_color_that_nobody_sees(tiny_codec: Codec, tiny_model: Path) -> None:
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[40:200] = 255
    pixels = article()
    pixels[:40] = pixels[200:] = (0, 255, 0)
    kept = Picture(pixels, alpha=alpha)
    data = tiny_codec.compress(kept, 60, 1, parts_of(pixels, alpha))
    small = np.asarray(vqcodec.decompress(data, tiny_model, thumbnail=80))
    seen = small[:, :22][small[:, :22, 3] > 16][:, :3].astype(int)  # left of the photograph nothing is green
    assert small.shape == (60, 80, 4) and (seen[:, 1] - seen[:, 0]).max() < 30


def test_a_hostile_overlay_is_refused(overlaid: bytes, tiny_codec: Codec) -> None:
    parsed = container.read(overlaid)
    indices, payload = parsed.indices, parsed.overlay
    assert payload is not None
    other = pack_overlay(Overlay(page(), np.ones((120, 160), bool)))
    assert other is not None
    over, index = Section(OVERLAY, payload), Section(INDICES, indices)
    for sections, text in (
        ([index, over, over], "two overlay sections"),
        ([Section(PIXELS, b"\1\0\0\0"), over], "an overlay over pixels that are without loss"),
        ([over], "no index section"),
        ([index, Section(OVERLAY, other)], "not of the picture's size"),
        ([index, Section(OVERLAY, payload[:4])], "number of colors"),
        ([index, Section(OVERLAY, payload[:3])], "ends inside its checksum"),
        ([index, Section(OVERLAY, bytes(4) + payload[4:])], "the overlay does not match its checksum"),
        ([index, over, Section(0x83, b"")], "the palette of a gray picture has other colors"),
    ):
        with pytest.raises(FormatError, match=text):
            tiny_codec.decompress(container.write_sections(parsed.header, sections))


def test_every_cut_and_every_flipped_byte_of_it_is_refused(overlaid: bytes, tiny_codec: Codec) -> None:
    parsed = container.read(overlaid)
    payload = parsed.overlay
    assert payload is not None
    damaged = [payload[:size] for size in range(len(payload))]
    damaged += [payload[:at] + bytes([payload[at] ^ 0x55]) + payload[at + 1 :] for at in range(len(payload))]
    for faulty in damaged:
        data = container.write(parsed.header, parsed.indices, overlay=faulty)
        with pytest.raises(VqcError):
            unpack_overlay(container.read(data).overlay or b"", HEIGHT, WIDTH)


def test_indices_alone_are_not_all_of_it(overlaid: bytes, tiny_codec: Codec) -> None:
    with pytest.raises(InputError, match="drawn parts without loss over its indices, .* --lossy"):
        tiny_codec.unpack(container.read(overlaid))


def test_a_quality_takes_the_smallest_file() -> None:
    for over_bytes, has_overlay in ((400, True), (STEADY[60] // 2, True), (STEADY[60] // 2 + 2, False)):
        found = StubCoder().drawn(over_bytes, 0.5, 0.1).seek(Goal(31))
        assert (found.has_overlay, found.quality, found.is_lossless) == (has_overlay, 31, False)
    coder = StubCoder().drawn(100, 0.5, 0.1)
    for exact_bytes, is_lossless in ((coder.over_size_bytes(60) + 16, True), (coder.over_size_bytes(60) + 17, False)):
        coder.exact_bytes = exact_bytes
        found = coder.seek(Goal(31))
        assert (found.is_lossless, found.has_overlay) == (is_lossless, not is_lossless)


def test_a_limit_takes_the_highest_quality_of_either_kind() -> None:
    for goal in (Goal(max_bytes=STEADY[80]), Goal(80, max_bytes=STEADY[80]), Goal(target_bpp=bpp(STEADY[80]))):
        coder = StubCoder().drawn(100, 0.5, 0.1)
        found = coder.seek(goal)
        assert found.has_overlay and found.quality > 50 and len(found.data) <= 1.005 * STEADY[80]
        assert not StubCoder().drawn(STEADY[81], 0.5, 0.1).seek(goal).has_overlay, "which alone is too large"
    with pytest.raises(TargetError, match="the smallest file has 400 bytes"):
        StubCoder().drawn(300, 0.5, 0.1).seek(Goal(max_bytes=399))


def test_a_score_takes_the_smallest_file_of_either_kind() -> None:
    wanted_db = StubCoder().psnr_db(100)
    coder = StubCoder().drawn(300, 0.5, 0.5)
    found = coder.seek(Goal(target_psnr_db=wanted_db))
    assert found.has_overlay and found.score is not None and found.score >= wanted_db
    assert found.quality < 51 and len(found.data) < STEADY[100] // 2 + 300
    found = StubCoder().drawn(9000, 0.5, 0.5).seek(Goal(target_psnr_db=wanted_db))
    assert not found.has_overlay and found.quality == 51
    highest_db = StubCoder().psnr_db(198)
    assert StubCoder().drawn(9000, 1, 0.5).seek(Goal(target_psnr_db=highest_db + 1)).has_overlay


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """A PNG of an article."""
    path = tmp_path / "article.png"
    Image.fromarray(article()).save(path)
    return path


def test_what_commands_say_of_it(run: Run, drawn: Path, tmp_path: Path, tiny_model: Path) -> None:
    packed, options = tmp_path / "article.vqc", ("--model", tiny_model)
    compress = ("compress", *options, "-q", 100, "-f", drawn)
    assert run(*compress).out.decode().rstrip().endswith(" bpp, drawn parts without loss")
    facts = json.loads(run(*compress, "--json").out)
    assert (facts["overlay"], facts["lossless"]) == (True, False)
    text = run("info", *options, "--check", packed).out.decode()
    assert "100 of 100, drawn parts without loss" in text and "S_index" in text
    facts = json.loads(run("info", *options, "--json", packed).out)
    assert facts["overlay"] is True and facts["sections"]["overlay"] > 0 and facts["indices"] is not None
    assert run("verify", *options, "--min-psnr", 10, drawn, packed).code == 0
    assert says(run("tokens", *options, packed), "drawn parts without loss over its indices")
    parsed = container.read(packed.read_bytes())
    assert parsed.overlay is not None
    packed.write_bytes(container.write(parsed.header, parsed.indices, overlay=bytes(4) + parsed.overlay[4:]))
    assert run("info", *options, packed).code == 0
    for command in (("info", "--check"), ("decompress", "-o", tmp_path / "back.png")):
        assert says(run(*command, *options, packed), "the overlay does not match its checksum")


def test_lossy_files_have_none(run: Run, drawn: Path, tmp_path: Path, tiny_model: Path, tiny_codec: Codec) -> None:
    run("compress", "--model", tiny_model, "-q", 100, "--lossy", drawn)
    data = (tmp_path / "article.vqc").read_bytes()
    assert data == tiny_codec.compress(Picture(article()), 100) == vqcodec.compress(drawn, 100, tiny_codec, lossy=True)
    assert container.read(data).overlay is None
    photo = picture(240, 320, seed=2)
    assert vqcodec.compress(photo, 100, tiny_codec) == tiny_codec.compress(Picture(photo), 100), "nor have photographs"


def test_a_manifest_says_it(run: Run, drawn: Path, tmp_path: Path, tiny_model: Path) -> None:
    out, manifest = tmp_path.with_name("packed"), tmp_path.with_name("packed.jsonl")
    command = ("compress", tmp_path, "-o", out, "--manifest", manifest, "--model", tiny_model, "-q", 100)
    assert run(*command).code == 0
    _, facts = map(json.loads, manifest.read_text().splitlines())
    assert facts["overlay"] is True and "lossless" not in facts
