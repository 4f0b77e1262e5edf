"""A picture as integers, and a parsed file's way to them; no torch."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vqcodec.bitstream.container import Container
from vqcodec.bitstream.header import Header
from vqcodec.errors import FormatError, ModelError
from vqcodec.model_file import Metadata
from vqcodec.priors import Prior
from vqcodec.priors.tables import Decoded
from vqcodec.tiles import Tile, read_streams, tiles_of

MAX_INDICES = 1 << 28


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


def unpack(parsed: Container, metadata: Metadata, prior: Prior) -> Encoded:
    """Return the indices in a parsed .vqc file; FormatError or ModelError where they are not what was encoded."""
    header = parsed.header
    grid = latent_grid(header.height, header.width, metadata.stride)
    parts = list(decode_tiles(parsed, metadata, prior))
    latents = [(tile, to_int16(part.latents)) for tile, part in parts if part.latents is not None]
    return Encoded(
        _join(grid, ((tile, part.indices) for tile, part in parts)),
        _join(grid, ((tile, part.classes) for tile, part in parts)),
        _join(grid, latents) if latents else None,
        header.width,
        header.height,
        header.quality,
        header.tile,
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


def decode_tiles(parsed: Container, metadata: Metadata, prior: Prior) -> Iterator[tuple[Tile, Decoded]]:
    """Yield each tile with what its stream says; FormatError names a tile that is not what was encoded."""
    header = parsed.header
    check_model(header, metadata)
    check_size(header.height, header.width, metadata)
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
    if header.fingerprint.hex() != metadata.fingerprint:
        raise ModelError(
            f"the file was made by the model {header.fingerprint.hex()}, not by {metadata.name} "
            f"({metadata.fingerprint}); name the right one with --model"
        )
    quantizer = metadata.quantizer
    facts = {**quantizer, "method": quantizer["name"], "prior": "static" if metadata.context is None else "context"}
    for key in ("method", "K", "m", "d_star", "beta", "mode", "depth", "prior"):
        said, needed = getattr(header, key), facts[key]
        if said != needed:
            raise FormatError(f"the header says {key}={said}, the model has {key}={needed}; the file is damaged")


def check_size(height: int, width: int, metadata: Metadata) -> None:
    """Raise FormatError for a picture with more indices than the format allows, before memory is asked for."""
    cells = math.ceil(height / metadata.stride) * math.ceil(width / metadata.stride) * metadata.factor**2
    if cells * metadata.planes > MAX_INDICES:
        raise FormatError(f"{width} x {height} pixels need {cells * metadata.planes} indices; at most 2^28 are allowed")


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


def _decode(prior: Prior, data: bytes, tile: Tile, header: Header) -> Decoded:
    try:
        return prior.decode(data, tile.grid, header.quality)
    except FormatError as error:
        raise FormatError(f"{tile}: {error}" if header.tile else str(error)) from error


def _join(grid: tuple[int, int], parts: Iterable[tuple[Tile, npt.NDArray[Any]]]) -> npt.NDArray[Any]:
    """Put arrays [..., f * h, f * w] of tiles together over a latent grid; f is the same for all."""
    whole: npt.NDArray[Any] | None = None
    for tile, part in parts:
        f = part.shape[-1] // tile.grid[1]
        if whole is None:
            whole = np.empty((*part.shape[:-2], f * grid[0], f * grid[1]), part.dtype)
        whole[..., f * tile.top : f * tile.bottom, f * tile.left : f * tile.right] = part
    assert whole is not None
    return whole
