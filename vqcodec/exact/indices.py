"""A picture as integers, its file, and the way back from a parsed file to them; no torch."""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from vqcodec.cores import in_order
from vqcodec.errors import FormatError
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.ancillary import Ancillary
from vqcodec.exact.bitstream.container import NOTHING, Container
from vqcodec.exact.bitstream.header import Header
from vqcodec.exact.headers import Size, check_model, check_size, latent_grid, make_header, size_of
from vqcodec.exact.metadata import Metadata
from vqcodec.exact.priors import PRIORS, Prior
from vqcodec.exact.priors.tables import Choice
from vqcodec.exact.tiles import Rectangle, Tile, read_streams, tiles_of, write_streams

T = TypeVar("T")
Parts = Iterable[tuple[Tile, Choice]]
"""The tiles of a picture in raster order with what was chosen for each; a picture that is not cut is one tile."""


class PictureChoice(NamedTuple):
    """A whole picture as integers: what was chosen for all of it, and its size."""

    choice: Choice
    size: Size


def pack(encoded: PictureChoice, metadata: Metadata, prior: Prior, ancillary: Ancillary = NOTHING) -> bytes:
    """Return the .vqc file that holds these indices, in tiles if their size says so."""
    indices, classes, codes = encoded.choice
    parts = [
        (tile, Choice(tile.of(indices, metadata.factor), tile.of(classes), tile.of(codes, metadata.factor)))
        for tile in tiles_of(latent_grid(encoded.size, metadata.stride), encoded.size.tile)
    ]
    return encode_tiles(parts, encoded.size, metadata, prior, ancillary)


def encode_tiles(
    parts: Parts,
    size: Size,
    metadata: Metadata,
    prior: Prior,
    ancillary: Ancillary = NOTHING,
    overlay: bytes | None = None,
) -> bytes:
    """Return the .vqc file of a picture's tiles. Of each only the bytes are kept, so they may come one by one.

    Tables adapt where that takes fewer bytes. overlay: what pixels.pack_overlay returns, or None.
    """
    priors = [prior] if prior.adaptive is None else [prior, prior.adaptive]
    crcs, coded = [], []
    for _, choice in parts:
        # The CRC is that of the indices, not of the bytes: a decoder that decodes to other indices must notice.
        crcs.append(index_crc(choice.indices))
        coded.append([each.encode(choice.indices, choice.classes, size.quality) for each in priors])
    by_prior = zip(priors, zip(*coded, strict=True), strict=True)
    used, data = min(by_prior, key=lambda pair: sum(map(len, pair[1])))
    streams = list(zip(crcs, data, strict=True))
    header = make_header(size, metadata, used, tiles_crc(streams) if size.tile else crcs[0])
    payload = write_streams(streams) if size.tile else data[0]
    return container.write(header, payload, ancillary, overlay, size.is_halved)


def prior_of(header: Header, prior: Prior) -> Prior:
    """Return the prior of a model as a file uses it, whose tables may adapt."""
    return prior.adaptive or prior if header.adaptive else prior


def unpack(parsed: Container, metadata: Metadata, prior: Prior) -> PictureChoice:
    """Return the indices in a parsed .vqc file; FormatError or ModelError where they are not what was encoded."""
    return assemble(decode_tiles(parsed, metadata, prior), size_of(parsed), metadata)


def assemble(parts: Parts, size: Size, metadata: Metadata) -> PictureChoice:
    """Return a picture's indices from those of its tiles."""
    tiles, choices = zip(*parts, strict=True)
    whole = tiles_of(latent_grid(size, metadata.stride), 0)[0]
    return PictureChoice(
        Choice(*(join(whole, zip(tiles, arrays, strict=True)) for arrays in zip(*choices, strict=True))), size
    )


def decode_codes(
    parsed: Container, metadata: Metadata, prior: Prior, needed: Rectangle
) -> Generator[tuple[Tile, npt.NDArray[Any]], None, None]:
    """Yield only Choice.codes of the tiles that a rectangle of latents meets, which is what pixels are made of.

    Everything else of a tile is let go before the next one comes, so that a large picture takes little memory. Errors
    of `decode_tiles`.
    """
    for tile, choice in decode_tiles(parsed, metadata, prior, needed):
        yield tile, choice.codes


def decode_first_codes(
    parsed: Container, metadata: Metadata, prior: Prior, needed: Rectangle, channels: int
) -> npt.NDArray[Any]:
    """Return at least the first channels of Choice.codes of a rectangle of latents.

    Streams may be left where these end, so that neither what follows nor the checksums of tiles are checked.
    """
    decode = functools.partial(prior_of(parsed.header, prior).decode_first, channels=channels)
    streams = _streams(parsed, metadata, needed)
    return join(needed, ((tile, _decode(decode, data, tile, parsed.header)) for tile, _, data in streams))


def decode_tiles(
    parsed: Container, metadata: Metadata, prior: Prior, needed: Rectangle | None = None
) -> Iterator[tuple[Tile, Choice]]:
    """Yield each tile with what its stream says; FormatError names a tile that is not what was encoded.

    With `needed` only the tiles that have a part of this rectangle of latents; the streams of the others are not read.
    """
    streams, coded = list(_streams(parsed, metadata, needed)), prior_of(parsed.header, prior)

    def decoded(stream: tuple[Tile, int, bytes]) -> Choice:
        tile, crc, data = stream
        choice = _decode(coded.decode, data, tile, parsed.header)
        if index_crc(choice.indices) != crc:
            raise FormatError(
                f"the indices of {tile} do not match their checksum; the file is damaged or was made by another model"
            )
        return choice

    yield from zip((tile for tile, _, _ in streams), in_order(decoded, streams), strict=True)


def _streams(parsed: Container, metadata: Metadata, needed: Rectangle | None) -> Iterator[tuple[Tile, int, bytes]]:
    """Yield the tiles that have a part of a rectangle of latents, or all, each with its checksum and stream."""
    header, size = parsed.header, size_of(parsed)
    check_model(header, metadata)
    check_size(size, metadata)
    _check_untiled(size, metadata)
    tiles = tiles_of(latent_grid(size, metadata.stride), header.tile)
    streams = read_streams(parsed.indices, len(tiles)) if header.tile else [(header.index_crc, parsed.indices)]
    if header.tile and tiles_crc(streams) != header.index_crc:
        raise FormatError("the tiles' checksums do not match the header's; the file is damaged")
    for tile, (crc, data) in zip(tiles, streams, strict=True):
        if needed is None or tile.meets(needed):
            yield tile, crc, data


def most_untiled(metadata: Metadata) -> int:
    """Return the most latent positions of a file without tiles."""
    return PRIORS[metadata.prior].most_untiled


def _check_untiled(size: Size, metadata: Metadata) -> None:
    h, w = latent_grid(size, metadata.stride)
    if not size.tile and h * w > most_untiled(metadata):
        raise FormatError(f"{h} x {w} latents without tiles; with a context prior at most 2^13 are allowed")


def index_crc(indices: npt.NDArray[Any]) -> int:
    """Return the CRC-32 of indices as little-endian uint16 in C order."""
    return zlib.crc32(indices.astype("<u2").tobytes())


def tiles_crc(streams: list[tuple[int, bytes]]) -> int:
    """Return the CRC-32 of the CRCs of tiles, which the header of a tiled file holds."""
    return zlib.crc32(b"".join(struct.pack("<I", crc) for crc, _ in streams))


def _decode(decode: Callable[[bytes, tuple[int, int], float], T], data: bytes, tile: Tile, header: Header) -> T:
    try:
        return decode(data, tile.grid, header.quality)
    except FormatError as error:
        raise FormatError(f"{tile}: {error}" if header.tile else str(error)) from error


def join(needed: Rectangle, parts: Iterable[tuple[Tile, npt.NDArray[Any]]]) -> npt.NDArray[Any]:
    """Put arrays [..., f * h, f * w] of tiles together over a rectangle of latents; f is the same for all."""
    whole: npt.NDArray[Any] | None = None
    for tile, part in parts:
        f = part.shape[-1] // tile.grid[1]
        if whole is None:
            whole = np.empty((*part.shape[:-2], f * needed.grid[0], f * needed.grid[1]), part.dtype)
        both = tile.meet(needed)
        both.within(needed).of(whole, f)[:] = both.within(tile).of(part, f)
    assert whole is not None
    return whole
