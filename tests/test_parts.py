"""Parts of pictures: crops are those of the whole and need few tiles, thumbnails are small and look like the whole."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import Run, picture, shaken

import vqcodec
from vqcodec import coder as module
from vqcodec.api import picture_of
from vqcodec.codec import Codec
from vqcodec.coder import Coder, quick_coder
from vqcodec.decoder import Part, showing
from vqcodec.errors import FormatError, SettingsError
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.exact.indices import tiles_crc
from vqcodec.exact.tiles import read_streams, write_streams
from vqcodec.image import Picture, to_pil

WIDTH, HEIGHT = 810, 406
ROWS, COLUMNS, TILE, MARGIN = 26, 51, 16, 10
"""In latents: two tiles by four, of which the last of each row and column are narrow."""
Pixels = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]


@pytest.fixture(scope="module")
def model(context_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a context prior whose synthesis sees as far as it can."""
    return shaken(Path(shutil.copy(context_model, tmp_path_factory.mktemp("parts"))))


@pytest.fixture(scope="module")
def patched() -> Any:
    """Small tiles for files and for the synthesis."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(showing, "SYNTHESIS_TILE", 24)
        patch.setattr(module, "TILE", TILE)
        patch.setattr(module, "TILED_LATENTS", 100)
        yield


@pytest.fixture(scope="module")
def data(model: Path, patched: None) -> bytes:
    """The file of a picture of two by four tiles."""
    found = Codec.open(model).compress(Picture(picture(HEIGHT, WIDTH, seed=5)), 60, effort=0)
    assert container.read(found).header.tile == TILE
    return found


@pytest.fixture(scope="module")
def opened(model: Path) -> dict[str, Coder]:
    """What decodes, with torch and without."""
    return {"codec": Codec.open(model), "quick": quick_coder(*model_file.load(model))}


@pytest.fixture(scope="module")
def wholes(opened: dict[str, Coder], data: bytes) -> dict[str, Pixels]:
    """The pixels of the whole picture, with torch and without."""
    return {name: one.picture_of(container.read(data)).pixels for name, one in opened.items()}


def counting(prior: Any, method: str, patch: pytest.MonkeyPatch) -> list[Any]:
    """The grids of the tiles that a method of a prior is called for, whether its tables adapt or not."""
    found: list[Any] = []

    def counted(inner: Any, data: bytes, grid: tuple[int, int], *more: Any, **named: Any) -> Any:
        found.append(grid)
        return inner(data, grid, *more, **named)

    for each in (prior, prior.adaptive):
        patch.setattr(each, method, partial(counted, getattr(each, method)))
    return found


def tiles_needed(low: int, high: int, latents: int) -> int:
    """How many tiles in one direction the pixels [low, high) depend on."""
    first, last = max(0, low // 16 - MARGIN), min(latents - 1, (high - 1) // 16 + MARGIN)
    return last // TILE - first // TILE + 1


def edges(length: int) -> st.SearchStrategy[tuple[int, int]]:
    """Two different places in a picture, often on a border of blocks or tiles or beside one."""
    borders = [n for at in range(0, length + 1, 16) for n in (at - 1, at, at + 1) if 0 <= n <= length]
    place = st.integers(0, length) | st.sampled_from(borders)
    return st.tuples(place, place).filter(lambda two: two[0] != two[1]).map(lambda two: (min(two), max(two)))


@pytest.mark.parametrize("kind", ["codec", "quick"])
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(across=edges(WIDTH), down=edges(HEIGHT))
def test_a_crop_is_that_of_the_whole_and_decodes_no_more_tiles_than_it_needs(
    kind: str,
    across: tuple[int, int],
    down: tuple[int, int],
    data: bytes,
    opened: dict[str, Coder],
    wholes: dict[str, Pixels],
) -> None:
    (left, right), (upper, lower) = across, down
    with pytest.MonkeyPatch.context() as patch:
        decoded = counting(opened[kind].prior, "decode", patch)
        shown = opened[kind].picture_of(container.read(data), Part((left, upper, right, lower))).pixels
    assert shown.shape == (lower - upper, right - left, 3)
    assert np.abs(shown.astype(int) - wholes[kind][upper:lower, left:right]).max() <= 1
    assert len(decoded) == tiles_needed(left, right, COLUMNS) * tiles_needed(upper, lower, ROWS)


def test_a_crop_depends_on_the_margin_and_no_less(
    data: bytes, opened: dict[str, Coder], wholes: dict[str, Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    codec, part = opened["codec"], Part((300, 100, 350, 150))
    assert isinstance(codec, Codec)
    monkeypatch.setattr(codec.network, "synthesis_margin", 1)
    shown = codec.picture_of(container.read(data), part).pixels
    assert np.abs(shown.astype(int) - wholes["codec"][100:150, 300:350]).max() > 1
    monkeypatch.setattr(codec.network, "synthesis_margin", None)
    decoded = counting(codec.prior, "decode", monkeypatch)
    shown = codec.picture_of(container.read(data), part).pixels
    assert np.abs(shown.astype(int) - wholes["codec"][100:150, 300:350]).max() <= 1
    assert len(decoded) == 8, "a network that sees everything needs all tiles"


def with_stream(data: bytes, number: int, change: Callable[[int, bytes], tuple[int, bytes]]) -> bytes:
    """The file with another checksum and stream of a tile, and all other checksums right."""
    parsed = container.read(data)
    streams = read_streams(parsed.indices, 8)
    streams[number] = change(*streams[number])
    return container.write(replace(parsed.header, index_crc=tiles_crc(streams)), write_streams(streams))


def test_damage_counts_only_in_tiles_that_a_crop_needs(data: bytes, model: Path) -> None:
    damaged = with_stream(data, 7, lambda crc, stream: (crc ^ 1, stream))
    decompress = functools.partial(vqcodec.decompress, model=model)
    with pytest.raises(FormatError, match=r"tile 8 of 8 \(row 1, column 3\)"):
        decompress(damaged)
    with pytest.raises(FormatError, match="tile 8 of 8"):
        decompress(damaged, crop=(WIDTH - 1, HEIGHT - 1, WIDTH, HEIGHT))
    box = (0, 0, 90, 90)
    assert decompress(damaged, crop=box).tobytes() == decompress(data, crop=box).tobytes()


def test_the_file_is_checked_before_any_part_of_it(data: bytes, model: Path) -> None:
    damaged = bytearray(data)
    damaged[-20] ^= 1
    for part in ({"crop": (0, 0, 9, 9)}, {"thumbnail": 20}, {"crop": (0, 0, 9, 9999)}):
        with pytest.raises(FormatError, match="checksum"):
            vqcodec.decompress(bytes(damaged), model, **part)  # type: ignore[arg-type]


@pytest.mark.parametrize("box", [(0, 0, WIDTH, HEIGHT), (37, 5, 38, 400), (0, 200, 801, 201), (130, 60, 330, 360)])
@pytest.mark.parametrize("most", [1, 3, 20, 75, 200, 5000])
def test_thumbnails_have_their_size_with_torch_and_without(
    box: Box, most: int, data: bytes, opened: dict[str, Coder]
) -> None:
    width, height = box[2] - box[0], box[3] - box[1]
    scale = min(1, most / max(width, height))
    for one in opened.values():
        shown = one.picture_of(container.read(data), Part(box, most)).pixels
        assert shown.shape == (max(1, round(height * scale)), max(1, round(width * scale)), 3)


def test_a_large_thumbnail_is_the_whole_made_smaller(data: bytes, model: Path) -> None:
    whole = vqcodec.decompress(data, model)
    wanted = np.asarray(whole.resize((500, 251), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(np.asarray(vqcodec.decompress(data, model, thumbnail=500)), wanted)
    shown = np.asarray(vqcodec.decompress(data, Codec.open(model), thumbnail=500))
    assert np.abs(shown.astype(int) - wanted).max() <= 1, "of pixels that differ by a gray level"


def test_a_sketch_needs_only_its_tiles_and_not_what_they_say_of_detail(
    data: bytes, opened: dict[str, Coder], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = opened["quick"]
    decoded = counting(decoder.prior, "decode_first", monkeypatch)
    damaged = with_stream(data, 0, lambda crc, stream: (crc ^ 1, stream))
    for part, tiles in ((Part(None, 20), 8), (Part((256, 0, 512, 256), 20), 1), (Part((255, 0, 512, 257), 20), 4)):
        decoded.clear()
        wanted = decoder.picture_of(container.read(data), part).pixels
        np.testing.assert_array_equal(decoder.picture_of(container.read(damaged), part).pixels, wanted)
        assert len(decoded) == 2 * tiles
    zero = with_stream(data, 5, lambda crc, _: (crc, b"\0"))
    with pytest.raises(FormatError, match="tile 6 of 8 .* zero byte"):
        decoder.picture_of(container.read(zero), Part(None, 20))


def decorated(model: Path) -> tuple[bytes, Picture]:
    """A gray picture with alpha, a color profile, EXIF and XMP: its file, and what is decoded of it."""
    gray = picture(200, 330, seed=6)[..., :1].repeat(3, axis=2)
    alpha = np.tile(np.arange(330) % 256, (200, 1)).astype(np.uint8)
    told = Picture(gray, icc=b"profile", alpha=alpha, exif=b"MM\0*\0\0\0\x08\0\0\0\0\0\0", xmp=b"<x/>")
    data = Codec.open(model).compress(told, 70, effort=0)
    return data, picture_of(data, model)


@pytest.mark.parametrize("most", [None, 16, 90])
def test_alpha_gray_and_metadata_are_right_in_parts(model: Path, patched: None, most: int | None) -> None:
    data, whole = decorated(model)
    left, upper, right, lower = box = (40, 30, 300, 190)
    shown = picture_of(data, model, crop=box, thumbnail=most)
    assert (shown.icc, shown.exif, shown.xmp) == (whole.icc, whole.exif, whole.xmp) and whole.icc
    assert shown.is_gray and whole.alpha is not None and shown.alpha is not None
    alpha = Image.fromarray(np.ascontiguousarray(whole.alpha[upper:lower, left:right]))
    size = shown.pixels.shape[1], shown.pixels.shape[0]
    np.testing.assert_array_equal(shown.alpha, np.asarray(alpha.resize(size, Image.Resampling.LANCZOS)))
    assert to_pil(shown).mode == "RGBA" and max(size) == (most or 260)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"crop": (0, 0, WIDTH + 1, 5)}, "the crop 811 x 5 at (0, 0) is not inside the picture of 810 x 406 pixels"),
        ({"crop": (0, HEIGHT, 1, HEIGHT + 1)}, "at (0, 406) is not inside"),
        ({"crop": (-1, 0, 5, 5)}, "at (-1, 0) is not inside"),
        ({"crop": (5, 5, 5, 9)}, "the crop 0 x 4 is empty; at least 1 x 1 pixels are needed"),
        ({"crop": (9, 5, 5, 9)}, "the crop -4 x 4 is empty"),
        ({"crop": (0, 0, 5)}, "the crop (0, 0, 5) is not four whole numbers: left, upper, right, lower"),
        ({"crop": (0, 0, 5.5, 5)}, "is not four whole numbers"),
        ({"crop": "5x5+0+0"}, "is not four whole numbers"),
        ({"thumbnail": 0}, "a thumbnail of 0 pixels is empty; at least 1 is needed"),
        ({"thumbnail": 2.5}, "a thumbnail of 2.5 pixels is no whole number"),
    ],
)
def test_parts_that_no_picture_has_are_said_in_a_sentence(
    part: dict[str, Any], said: str, data: bytes, model: Path
) -> None:
    for which in (model, Codec.open(model)):
        with pytest.raises(SettingsError) as error:
            vqcodec.decompress(data, which, **part)
        assert said in str(error.value) and "\n" not in str(error.value)


def test_the_command_line_shows_parts(run: Run, tmp_path: Path, data: bytes, model: Path) -> None:
    (tmp_path / "a.vqc").write_bytes(data)
    line = ["decompress", tmp_path / "a.vqc", "--model", model, "-o", tmp_path / "b.png", "-f"]
    whole = vqcodec.decompress(data, model)
    for options, wanted in (
        (["--crop", "100x50+300+200"], whole.crop((300, 200, 400, 250))),
        (["--thumbnail", "500"], whole.resize((500, 251), Image.Resampling.LANCZOS)),
        (["--crop", "100x50+300+200", "--thumbnail", "60"], whole.crop((300, 200, 400, 250)).resize((60, 30))),
    ):
        result = run(*line, *options)
        assert result.code == 0 and f"{wanted.width} x {wanted.height}".encode() in result.out
        with Image.open(tmp_path / "b.png") as image:
            assert image.size == wanted.size
            if image.size != (60, 30):
                assert np.abs(np.asarray(image).astype(int) - np.asarray(wanted)).max() <= 1


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--crop", "9x9"], 2, "'9x9' is not WxH+X+Y, such as 512x512+1000+0"),
        (["--crop", "9x9-1+0"], 2, "is not WxH+X+Y"),
        (["--crop", "9.5x9+1+0"], 2, "is not WxH+X+Y"),
        (["--crop", "0x9+1+0"], 2, "'0x9+1+0' is empty; at least 1x1 pixels are needed"),
        (["--crop", "9x9+810+0"], 1, "the crop 9 x 9 at (810, 0) is not inside the picture of 810 x 406 pixels"),
        (["--crop", "99999999999999999999x9+0+0"], 1, "is not inside the picture"),
        (["--thumbnail", "0"], 2, "0 is not in the range x>=1"),
        (["--thumbnail", "many"], 2, "'many' is not a valid integer"),
    ],
)
def test_bad_parts_end_in_one_sentence(
    options: list[str], code: int, said: str, run: Run, tmp_path: Path, data: bytes, model: Path
) -> None:
    (tmp_path / "a.vqc").write_bytes(data)
    result = run("decompress", tmp_path / "a.vqc", "--model", model, *options)
    assert result.code == code and said in result.err and "Traceback" not in result.err
    assert not (tmp_path / "a.png").exists()
