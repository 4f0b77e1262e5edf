"""A PNG that is written in strips says what one written as a whole does, and fails as one does: without a trace."""

from __future__ import annotations

import errno
import io
import weakref
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metadata_files import XMP_UPRIGHT, exif
from PIL import Image
from test_image_write import PROFILE
from tiny import Run, picture

import vqcodec
from vqcodec import coder as module
from vqcodec import cores
from vqcodec.decoder import showing
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.ancillary import Ancillary
from vqcodec.exact.indices import tiles_crc
from vqcodec.exact.tiles import read_streams, write_streams
from vqcodec.image import Strips, picture_with, strips, write_picture, write_strips

Pixels = npt.NDArray[np.uint8]
TILE, WIDTH, HEIGHT = 16, 550, 530
"""In latents of 16 pixels; three tiles by three, and as many strips."""


def in_strips(pixels: Pixels, height: int) -> Generator[Pixels, None, None]:
    """Pixels in strips of a height."""
    yield from (pixels[top : top + height].copy() for top in range(0, len(pixels), height))


def written(pixels: Pixels, said: Ancillary, height: int) -> tuple[Image.Image, tuple[str, ...]]:
    """The picture that is written in strips of a height, and what is said of it."""
    file = io.BytesIO()
    notes = write_strips(Strips(in_strips(pixels, height), pixels.shape[:2], said), file)
    return Image.open(file), notes


@pytest.mark.parametrize("is_gray", [False, True])
@pytest.mark.parametrize(
    "said",
    [
        Ancillary(),
        Ancillary(icc=PROFILE),
        Ancillary(exif=exif(orientation=1, dpi=300.0), xmp=XMP_UPRIGHT),
        Ancillary(icc=PROFILE, exif=exif(orientation=1, dpi=0.5), xmp=b"\xff no text"),
    ],
    ids=["plain", "icc", "exif, xmp", "all"],
)
def test_a_file_in_strips_says_what_the_whole_says(said: Ancillary, is_gray: bool, pixels: Pixels) -> None:
    said, whole = replace(said, is_gray=is_gray), io.BytesIO()
    notes = write_picture(picture_with(pixels, said), whole, "png")
    image, more = written(pixels, said, 32)
    with image, Image.open(whole) as wanted:
        assert image.tobytes() == wanted.tobytes()  # after which Pillow knows what comes after the pixels too
        assert (image.mode, image.size, image.info, more) == (wanted.mode, wanted.size, wanted.info, notes)
        assert image.mode == ("L" if is_gray and not said.icc else "RGB")


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.booleans(), st.integers(0, 99))
def test_pixels_do_not_depend_on_strips(
    height: int, width: int, strip: int, packed: int, is_gray: bool, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    said = Ancillary(is_gray=is_gray)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strips, "_ROWS", packed)
        image, _ = written(pixels, said, strip)
    with image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), picture_with(pixels, said).pixels)


@pytest.mark.parametrize("count", [1, 2])
def test_no_more_than_two_strips_are_there(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cores.THREADS_VARIABLE, str(count))
    made: list[weakref.ref[Pixels]] = []
    most = 0

    def pixels() -> Generator[Pixels, None, None]:
        nonlocal most
        for _ in range(20):
            strip = np.zeros((70, 10, 3), np.uint8)
            made.append(weakref.ref(strip))
            most = max(most, sum(one() is not None for one in made))
            yield strip

    write_strips(Strips(pixels(), (1400, 10), Ancillary()), io.BytesIO())
    assert most <= 2


@pytest.mark.parametrize("count", [1, 2])
def test_a_file_that_takes_no_more_ends_the_decoding(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cores.THREADS_VARIABLE, str(count))
    ended = []

    def pixels() -> Generator[Pixels, None, None]:
        try:
            while True:
                yield np.random.default_rng(0).integers(0, 256, (70, 1000, 3), np.uint8)
        finally:
            ended.append(True)

    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            if self.tell() > 1000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)  # type: ignore[arg-type]

    with pytest.raises(OSError, match="No space"):
        write_strips(Strips(pixels(), (1 << 20, 1000), Ancillary()), Full())
    assert ended == [True]


@pytest.fixture
def tiled(context_model: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a picture in three tiles by three."""
    for name, value in (("TILE", TILE), ("TILED_LATENTS", 16)):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(showing, "SYNTHESIS_TILE", TILE)
    source, target = tmp_path / "source.png", tmp_path / "small.vqc"
    Image.fromarray(picture(HEIGHT, WIDTH, seed=2)).save(source)
    assert run("compress", source, "-e", 1, "-o", target, "--lossy", "--model", context_model).code == 0
    source.unlink()
    assert container.read(target.read_bytes()).header.tile == TILE
    return target


def test_the_command_writes_what_the_interface_returns_with_any_threads(
    tiled: Path, context_model: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiled.read_bytes()
    box = (17, 40, 280, 203)
    wholes = {part: vqcodec.decompress(data, context_model, crop=part) for part in (None, box)}
    monkeypatch.setattr(module.Coder, "picture_of", None)  # it would make the whole
    target, crop = tiled.with_suffix(".png"), "263x163+17+40"
    arguments = ("decompress", tiled, "--model", context_model, "-o")
    files = set()
    for count in (1, 2):
        result = run(*arguments, target, "-f", "--threads", count)
        assert (result.code, result.err) == (0, "")
        assert f"{target.stat().st_size:,} bytes" in result.out.decode()
        files.add(target.read_bytes())
    files.add(run(*arguments, "-").out)
    assert len(files) == 1
    with Image.open(target) as image:
        assert image.tobytes() == wholes[None].tobytes()
    assert run(*arguments, target, "-f", "--crop", crop).code == 0
    with Image.open(target) as image:
        assert image.tobytes() == wholes[box].tobytes()


@pytest.mark.parametrize("count", [1, 2])
def test_damage_in_the_middle_leaves_nothing(
    count: int, tiled: Path, context_model: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = container.read(tiled.read_bytes())
    streams = read_streams(parsed.indices, 9)
    streams[-2] = streams[-2][0] ^ 1, streams[-2][1]
    tiled.write_bytes(container.write(replace(parsed.header, index_crc=tiles_crc(streams)), write_streams(streams)))
    old, new = tiled.with_name("old.png"), tiled.with_name("new.png")
    old.write_bytes(b"old")
    for target in (old, new, "-"):
        arguments = ("decompress", tiled, "--model", context_model, "-o", target, "-f", "--threads", count)
        result = run(*arguments)
        assert (result.code, result.out) == (1, b"")
        assert result.err.count("\n") == 1 and "tile 8 of 9" in result.err
    assert old.read_bytes() == b"old"
    assert sorted(path.name for path in tiled.parent.iterdir()) == ["old.png", "small.vqc"]


def test_too_little_memory_is_said(tiled: Path, context_model: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(showing.Shower, "strips", fails)
    result = run("decompress", tiled, "--model", context_model, "-o", tiled.with_suffix(".png"))
    assert result.code == 1
    assert f"not enough memory for {WIDTH} x {HEIGHT} pixels" in result.err
    assert list(tiled.parent.iterdir()) == [tiled]
