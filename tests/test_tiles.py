"""Pictures in tiles: every latent once, exact round trips, and an error that names what is damaged."""

from __future__ import annotations

import importlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_priors import random_models
from tiny import picture

import vqcodec
from vqcodec import coder as module
from vqcodec.codec import Codec
from vqcodec.decoder import showing
from vqcodec.errors import FormatError, SettingsError, VqcError
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.header import MAX_PIXELS, Header
from vqcodec.exact.indices import PictureChoice, decode_tiles, index_crc, tiles_crc, unpack
from vqcodec.exact.tiles import even_tiles, read_streams, tiles_of, write_streams
from vqcodec.image import Picture

maker: Any = importlib.import_module("make_vectors")
KINDS = ("static", "context")


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([0, 1, 3, 16, 32, 64]))
def test_tiles_cover_every_latent_once_in_raster_order(height: int, width: int, side: int) -> None:
    tiles = tiles_of((height, width), side)
    covered = np.zeros((height, width), int)
    for number, tile in enumerate(tiles):
        assert tile.number == number and tile.count == len(tiles)
        assert tile.grid == (tile.bottom - tile.top, tile.right - tile.left)
        assert max(tile.grid) <= (side or max(height, width))
        covered[tile.top : tile.bottom, tile.left : tile.right] += 1
    assert (covered == 1).all()
    assert [(tile.top, tile.left) for tile in tiles] == sorted((tile.top, tile.left) for tile in tiles)
    assert len(tiles) == (-(-height // side) * -(-width // side) if side else 1)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 20), st.integers(1, 3))
def test_what_a_tile_sees_around_it_holds_the_tile(height: int, width: int, margin: int, factor: int) -> None:
    grid = height, width
    whole = np.arange(factor**2 * height * width).reshape(factor * height, factor * width)
    for tile in tiles_of(grid, 16):
        seen = tile.widened(grid, margin)
        assert max(tile.top - seen.top, seen.bottom - tile.bottom, tile.left - seen.left) <= margin
        assert seen.top in (0, tile.top - margin) and seen.right in (width, tile.right + margin)
        np.testing.assert_array_equal(seen.of(whole, factor)[tile.within(seen).slices(factor)], tile.of(whole, factor))


@pytest.mark.parametrize("grid", [(1, 1), (48, 49), (64, 80), (100, 7)])
def test_even_tiles_cover_a_grid_once_and_are_few(grid: tuple[int, int]) -> None:
    seen = np.zeros(grid, int)
    tiles = even_tiles(grid, 48)
    for tile in tiles:
        tile.of(seen)[:] += 1
    assert (seen == 1).all()
    assert len(tiles) == -(-grid[0] // 48) * -(-grid[1] // 48) == tiles[0].count
    heights, widths = zip(*(tile.grid for tile in tiles), strict=True)
    assert max(heights) <= 48
    assert max(widths) <= 48
    assert max(heights) - min(heights) <= 2
    assert max(widths) - min(widths) <= 2


def test_a_tile_says_which_one_it_is() -> None:
    tiles = tiles_of((40, 50), 16)
    assert [str(tiles[n]) for n in (0, 11)] == ["tile 1 of 12 (row 0, column 0)", "tile 12 of 12 (row 2, column 3)"]
    assert str(tiles_of((40, 50), 0)[0]) == "tile 1 of 1 (row 0, column 0)"


STREAMS = [(0, b""), (0xFFFFFFFF, b"x" * 300), (7, b"abc")]


def test_streams_come_back() -> None:
    assert read_streams(write_streams(STREAMS), 3) == STREAMS
    assert read_streams(b"", 0) == []


def test_a_table_of_tiles_that_is_cut_or_longer_is_refused() -> None:
    payload = write_streams(STREAMS)
    for length in range(len(payload)):
        with pytest.raises(FormatError, match="tile [123] of 3"):
            read_streams(payload[:length], 3)
    for more in (b"\0", b"\0" * 5, payload):
        with pytest.raises(FormatError, match="more than its tiles"):
            read_streams(payload + more, 3)
    with pytest.raises(FormatError, match="length of tile 1 of 1"):
        read_streams(b"\x80\0" + payload, 1)


def with_prior(tiny: Codec, kind: str) -> Codec:
    """The tiny model with a random prior of some kind."""
    settings, base, weights = tiny.metadata.quantizer, tiny.metadata, tiny.network.state_dict()
    if kind == "context":
        plan = random_models.ContextPlan("tiny", (4, 8, 12), settings["K"], deviation_classes=12, tables=20)
    else:
        plan = random_models.ModelPlan("tiny", settings, table_bits=16, tables=6, rows=2, classes=3)
    metadata, arrays = random_models.make_model(plan, base)
    arrays |= {model_file.NETWORK_PREFIX + name: weight.numpy() for name, weight in weights.items()}
    if kind == "static":
        arrays["codebook"] = tiny.quantizer.codevectors().numpy()
    return Codec(replace(metadata, fingerprint=model_file.fingerprint(metadata, arrays)), arrays)


@pytest.fixture(scope="module")
def codecs(tiny_codec: Codec) -> dict[str, Codec]:
    """The tiny model with each kind of prior."""
    return {kind: with_prior(tiny_codec, kind) for kind in KINDS}


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut whatever has more than 100 latents into tiles of 16 latents."""
    monkeypatch.setattr(showing, "SYNTHESIS_TILE", 16)
    for name, value in (("TILE", 16), ("TILED_LATENTS", 100)):
        monkeypatch.setattr(module, name, value)


@pytest.fixture(scope="module")
def pixels() -> npt.NDArray[np.uint8]:
    """A picture of 19 x 35 latents: 2 x 3 tiles, of which the last are narrow."""
    return picture(300, 550, seed=4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("effort", [0, 5])
def test_a_large_picture_comes_back_from_the_public_interface(
    kind: str, effort: int, codecs: dict[str, Codec], pixels: npt.NDArray[np.uint8], small_tiles: None
) -> None:
    codec = codecs[kind]
    data = vqcodec.compress(pixels, 40, codec, effort=effort)
    header = container.read(data).header
    assert (header.tile, header.prior, header.width, header.height) == (16, kind, 550, 300)
    image = vqcodec.decompress(data, codec)
    encoded = codec.unpack(container.read(data))
    assert encoded.size.tile == 16 and encoded.choice.indices.shape == (24, 19, 35)
    np.testing.assert_array_equal(np.asarray(image), codec.decode(encoded))


@pytest.mark.parametrize("kind", KINDS)
def test_tiles_hold_what_the_encoder_chose(
    kind: str, codecs: dict[str, Codec], pixels: npt.NDArray[np.uint8], small_tiles: None, monkeypatch: Any
) -> None:
    codec, found = codecs[kind], []
    choose = codec.encoder.choose
    monkeypatch.setattr(codec.encoder, "choose", lambda *args: found.append(choose(*args)) or found[-1])
    parsed = container.read(codec.compress(Picture(pixels), 60, effort=0))
    decoded = [part for _, part in decode_tiles(parsed, codec.metadata, codec.prior)]
    assert len(found) == len(decoded) == 6
    for one, other in zip(found, decoded, strict=True):
        for array, wanted in zip(other, one, strict=True):
            np.testing.assert_array_equal(array, wanted)


def test_cutting_costs_little_and_shows_no_seams(
    codecs: dict[str, Codec], pixels: npt.NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, small_tiles: None
) -> None:
    codec = codecs["static"]
    tiled = codec.compress(Picture(pixels), 60, effort=0)
    monkeypatch.setattr(module, "TILED_LATENTS", 19 * 35)
    whole = codec.compress(Picture(pixels), 60, effort=0)
    assert container.read(whole).header.tile == 0
    assert len(tiled) < 1.1 * len(whole)
    difference = codec.decompress(tiled).pixels.astype(int) - codec.decompress(whole).pixels
    assert (np.abs(difference) > 1).mean() < 0.001  # where a latent lies between two codevectors


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_up_to_the_limit_are_not_cut(kind: str, codecs: dict[str, Codec], small_tiles: None) -> None:
    for width, tile in ((160, 0), (161, 16)):
        data = codecs[kind].compress(Picture(picture(160, width, seed=1)), 30)
        assert container.read(data).header.tile == tile
        assert codecs[kind].decompress(data).pixels.shape == (160, width, 3)


def test_settings_are_checked_for_large_pictures_too(
    codecs: dict[str, Codec], pixels: npt.NDArray[np.uint8], small_tiles: None
) -> None:
    for quality, effort in ((0.0, 5), (101.0, 5), (50.0, -1), (50.0, 10)):
        with pytest.raises(SettingsError):
            codecs["static"].compress(Picture(pixels), quality, effort)


def make_file(model: str, width: int, height: int, tile: int = 16) -> tuple[bytes, Callable[[bytes], PictureChoice]]:
    """A small random file of a model of the test vectors, whose tables may adapt, and what decodes it to indices."""
    name, _, adaptive = model.partition(" ")
    plan = next(plan for plan in maker.MODELS if plan.name == name)
    metadata, arrays = random_models.make_model(plan)
    metadata = replace(metadata, fingerprint=model_file.fingerprint(metadata, arrays))
    prior = model_file.make_prior(metadata, arrays)
    picture_plan = maker.FilePlan(model, name, width, height, 50, "", tile=tile, adaptive=bool(adaptive))
    data, _ = maker.make_file(picture_plan, metadata, arrays)
    return data, lambda changed: unpack(container.read(changed), metadata, prior)


MODELS = ("context", "context adaptive", "wide", "conditional")


@pytest.mark.parametrize("model", MODELS)
def test_a_damaged_tile_is_named(model: str) -> None:
    data, decode = make_file(model, 16 * 33, 16 * 18)
    parsed = container.read(data)
    streams = read_streams(parsed.indices, 6)
    assert decode(data).size.tile == 16
    for number, (row, column) in enumerate((row, column) for row in range(2) for column in range(3)):
        crc, stream = streams[number]
        at = len(stream) // 2
        flipped = stream[:at] + bytes([stream[at] ^ 16]) + stream[at + 1 :]
        for changed in ((crc ^ 1, stream), (crc, flipped), (crc, stream + b"\0"), (crc, bytes(4) + stream)):
            entries = [*streams[:number], changed, *streams[number + 1 :]]
            header = replace(parsed.header, index_crc=tiles_crc(entries))
            with pytest.raises(FormatError, match=rf"tile {number + 1} of 6 \(row {row}, column {column}\)"):
                decode(container.write(header, write_streams(entries)))


def test_without_tiles_an_error_does_not_speak_of_them_unless_the_checksum_is_wrong() -> None:
    data, decode = make_file("context", 40, 40, tile=0)
    parsed = container.read(data)
    with pytest.raises(FormatError) as error:
        decode(container.write(parsed.header, parsed.indices + b"\0"))
    assert "tile" not in str(error.value)
    with pytest.raises(FormatError, match=r"tile 1 of 1 \(row 0, column 0\) do not match"):
        decode(container.write(replace(parsed.header, index_crc=0), parsed.indices))


def test_wrong_checksums_of_tiles_are_refused_before_any_is_decoded() -> None:
    data, decode = make_file("context", 16 * 33, 16)
    parsed = container.read(data)
    streams = read_streams(parsed.indices, 3)
    entries = [*streams[:2], (streams[2][0] ^ 1, streams[2][1])]
    with pytest.raises(FormatError, match="tiles' checksums do not match the header"):
        decode(container.write(parsed.header, write_streams(entries)))


@pytest.mark.parametrize("model", MODELS)
def test_every_cut_and_every_flipped_byte_of_a_tiled_file_is_an_error(model: str) -> None:
    data, decode = make_file(model, 16 * 18, 16 * 2)
    damaged = [data[:size] for size in range(len(data))]
    damaged += [data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :] for at in range(len(data)) for flip in (1, 0xFF)]
    for faulty in damaged:
        with pytest.raises(VqcError):
            decode(faulty)


@pytest.mark.parametrize("model", MODELS)
def test_damage_behind_a_right_checksum_is_an_error_or_changes_no_index(model: str) -> None:
    data, decode = make_file(model, 16 * 18, 16 * 2)
    body, wanted = data[:-4], decode(data).choice.indices
    damaged = [body[:size] for size in range(len(body))]
    damaged += [body[:at] + bytes([body[at] ^ flip]) + body[at + 1 :] for at in range(len(body)) for flip in (1, 32)]
    refused = 0
    for faulty in damaged:
        try:
            found = decode(faulty + struct.pack("<I", zlib.crc32(faulty))).choice.indices
        except VqcError:
            refused += 1
        else:  # the quality, or a size that needs as many latents
            np.testing.assert_array_equal(found, wanted)
    assert refused > 0.97 * len(damaged)


def test_as_many_pixels_as_the_format_allows_need_no_more_tiles_than_it_can_name() -> None:
    tiles = tiles_of((512, MAX_PIXELS // 256 // 512), 16)
    assert len(tiles) == 32 * 64
    with pytest.raises(FormatError, match="tile"):
        Header(b"\0" * 8, 1, 1, 16, 3, 2, 1, "all", 2, 50, "context", index_crc(np.zeros(1)), 512)
