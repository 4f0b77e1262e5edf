"""A picture as integers, its file, and the way back from a parsed file to them; no torch."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vqcodec.errors import FormatError, ModelError
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.container import Container
from vqcodec.exact.bitstream.header import Header
from vqcodec.exact.model_file import Metadata
from vqcodec.exact.priors import Prior
from vqcodec.exact.priors.tables import Choice
from vqcodec.exact.tiles import Tile, read_streams, tiles_of, write_streams

MAX_INDICES = 1 << 28
MAX_UNTILED = 1 << 13
"""The most latent positions of a picture without tiles with a context prior, so that little is decoded in vain."""


@dataclass(frozen=True)
class Encoded:
    """A picture as indices.

    indices: uint16 [P, h', w']; classes: uint8, what chooses their tables, [h, w] with the static
    prior and [d, h, w] with the context prior; latents: int16 [d, h, w] in sixteenths of a step
    with the context prior, else None; width and height in pixels; tile: side of the tiles, or 0.
    """

    indices: npt.NDArray[np.uint16]
    classes: npt.NDArray[np.uint8]
    latents: npt.NDArray[np.int16] | None
    width: int
    height: int
    quality: float
    tile: int = 0


class Size(NamedTuple):
    """What a file says of a picture besides its indices: pixels, quality 1..100, side of the tiles in latents or 0."""

    width: int
    height: int
    quality: float
    tile: int = 0


def pack(encoded: Encoded, metadata: Metadata, prior: Prior, icc: bytes | None = None) -> bytes:
    """Return the .vqc file that holds these indices, in tiles if encoded.tile says so."""
    tiles = tiles_of(latent_grid(encoded.height, encoded.width, metadata.stride), encoded.tile)
    streams = []
    for tile in tiles:
        indices = tile.of(encoded.indices, metadata.factor)
        streams.append((index_crc(indices), prior.encode(indices, tile.of(encoded.classes), encoded.quality)))
    size = Size(encoded.width, encoded.height, encoded.quality, encoded.tile)
    return write_file(streams, size, metadata, prior, icc)


def write_file(
    streams: list[tuple[int, bytes]], size: Size, metadata: Metadata, prior: Prior, icc: bytes | None
) -> bytes:
    """Return the .vqc file of the streams of all tiles, each with the CRC-32 of its indices."""
    crc = tiles_crc(streams) if size.tile else streams[0][0]
    header = make_header(size, metadata, prior, crc)
    return container.write(header, write_streams(streams) if size.tile else streams[0][1], icc)


def make_header(size: Size, metadata: Metadata, prior: Prior, crc: int) -> Header:
    """Return the header of a file with this CRC-32 of indices; FormatError for a size that no header can say."""
    settings = metadata.quantizer
    return Header(
        fingerprint=bytes.fromhex(metadata.fingerprint),
        width=size.width,
        height=size.height,
        K=settings["K"],
        m=settings["m"],
        d_star=settings["d_star"],
        beta=settings["beta"],
        mode=settings["mode"],
        depth=settings["depth"],
        quality=size.quality,
        prior=prior.kind,
        index_crc=crc,
        tile=size.tile,
        layout=metadata.layout,
    )


def unpack(parsed: Container, metadata: Metadata, prior: Prior) -> Encoded:
    """Return the indices in a parsed .vqc file; FormatError or ModelError where they are not what was encoded."""
    header = parsed.header
    size = Size(header.width, header.height, header.quality, header.tile)
    return assemble(decode_tiles(parsed, metadata, prior), size, metadata)


def assemble(decoded: Iterable[tuple[Tile, Choice]], size: Size, metadata: Metadata) -> Encoded:
    """Return a picture's indices from those of its tiles."""
    grid, parts = latent_grid(size.height, size.width, metadata.stride), list(decoded)
    latents = [(tile, to_int16(part.latents)) for tile, part in parts if part.latents is not None]
    return Encoded(
        _join(grid, ((tile, part.indices) for tile, part in parts)),
        _join(grid, ((tile, part.classes) for tile, part in parts)),
        _join(grid, latents) if latents else None,
        size.width,
        size.height,
        size.quality,
        size.tile,
    )


def unpack_codes(parsed: Container, metadata: Metadata, prior: Prior) -> npt.NDArray[Any]:
    """Return only what pixels are made of, so that a large picture takes little memory; errors as in `unpack`.

    With the context prior that is Encoded.latents, with the static prior Encoded.indices.
    """
    grid = latent_grid(parsed.header.height, parsed.header.width, metadata.stride)
    tiles = decode_tiles(parsed, metadata, prior)
    return _join(
        grid, ((tile, part.indices if part.latents is None else to_int16(part.latents)) for tile, part in tiles)
    )


def decode_tiles(parsed: Container, metadata: Metadata, prior: Prior) -> Iterator[tuple[Tile, Choice]]:
    """Yield each tile with what its stream says; FormatError names a tile that is not what was encoded."""
    header = parsed.header
    check_model(header, metadata)
    check_size(header.height, header.width, metadata)
    _check_untiled(header, metadata)
    tiles = tiles_of(latent_grid(header.height, header.width, metadata.stride), header.tile)
    streams = read_streams(parsed.indices, len(tiles)) if header.tile else [(header.index_crc, parsed.indices)]
    if header.tile and tiles_crc(streams) != header.index_crc:
        raise FormatError("the tiles' checksums do not match the header's; the file is damaged")
    for tile, (crc, data) in zip(tiles, streams, strict=True):
        decoded = _decode(prior, data, tile, header)
        if index_crc(decoded.indices) != crc:
            raise FormatError(
                f"the indices of {tile} do not match their checksum; the file is damaged or was made by another model"
            )
        yield tile, decoded


def check_model(header: Header, metadata: Metadata) -> None:
    """Raise ModelError if a file needs another model, FormatError if its header contradicts this one."""
    check_fingerprint(header.fingerprint, metadata)
    quantizer = metadata.quantizer
    facts = {**quantizer, "layout": metadata.layout, "prior": "static" if metadata.context is None else "context"}
    for key in ("layout", "K", "m", "d_star", "beta", "mode", "depth", "prior"):
        said, needed = getattr(header, key), facts[key]
        if said != needed:
            raise FormatError(f"the header says {key}={said}, the model has {key}={needed}; the file is damaged")


def check_fingerprint(fingerprint: bytes, metadata: Metadata) -> None:
    """Raise ModelError if a file needs another model."""
    if fingerprint.hex() != metadata.fingerprint:
        raise ModelError(
            f"the file was made by the model {fingerprint.hex()}, not by {metadata.name} "
            f"({metadata.fingerprint}); name the right one with --model"
        )


def check_size(height: int, width: int, metadata: Metadata) -> None:
    """Raise FormatError for a picture with more indices than the format allows, before memory is asked for."""
    cells = math.ceil(height / metadata.stride) * math.ceil(width / metadata.stride) * metadata.factor**2
    if cells * metadata.planes > MAX_INDICES:
        raise FormatError(f"{width} x {height} pixels need {cells * metadata.planes} indices; at most 2^28 are allowed")


def _check_untiled(header: Header, metadata: Metadata) -> None:
    h, w = latent_grid(header.height, header.width, metadata.stride)
    if metadata.context is not None and not header.tile and h * w > MAX_UNTILED:
        raise FormatError(f"{h} x {w} latents without tiles; with a context prior at most 2^13 are allowed")


def latent_grid(height: int, width: int, stride: int) -> tuple[int, int]:
    """Return the height h and width w of the latents of a picture of height x width pixels."""
    return math.ceil(height / stride), math.ceil(width / stride)


def index_crc(indices: npt.NDArray[Any]) -> int:
    """Return the CRC-32 of indices as little-endian uint16 in C order."""
    return zlib.crc32(indices.astype("<u2").tobytes())


def tiles_crc(streams: list[tuple[int, bytes]]) -> int:
    """Return the CRC-32 of the CRCs of tiles, which the header of a tiled file holds."""
    return zlib.crc32(b"".join(struct.pack("<I", crc) for crc, _ in streams))


def to_int16(latents: npt.NDArray[np.int32]) -> npt.NDArray[np.int16]:
    """Return latents in sixteenths of a step as int16; what is beyond 2048 steps no picture needs."""
    return np.clip(latents, -32768, 32767).astype(np.int16)


def _decode(prior: Prior, data: bytes, tile: Tile, header: Header) -> Choice:
    try:
        return prior.decode(data, tile.grid, header.quality)
    except FormatError as error:
        raise FormatError(f"{tile}: {error}" if header.tile else str(error)) from error


def _join(grid: tuple[int, int], parts: Iterable[tuple[Tile, npt.NDArray[Any]]]) -> npt.NDArray[Any]:
    """Put arrays [..., f * h, f * w] of tiles together over a latent grid; f is the same for all."""
    whole: npt.NDArray[Any] | None = None
    for tile, part in parts:
        if whole is None:
            f = part.shape[-1] // tile.grid[1]
            whole = np.empty((*part.shape[:-2], f * grid[0], f * grid[1]), part.dtype)
        tile.of(whole, part.shape[-1] // tile.grid[1])[:] = part
    assert whole is not None
    return whole
