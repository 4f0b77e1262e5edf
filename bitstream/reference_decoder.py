"""The reference decoder of the .vqc format: a file and its model in, codebook indices out, or pixels without loss.

It follows FORMAT.md section by section, uses NumPy and the standard library only, and
shares no code with the `vqcodec` package, so that each can be tested against the other.

    python bitstream/reference_decoder.py photo.vqc model.safetensors -o indices.npy
"""

from __future__ import annotations

import argparse
import math
import sys
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from reference_context import Context, decode_context
from reference_cursor import Cursor, in_range
from reference_model import Model, read_model
from reference_pixels import unpack_overlay, unpack_pixels
from reference_rans import DecodeError, Indices, Rans, require
from reference_sections import GRAY, HALVED, INDICES, OVERLAY, PIXELS, read_said, read_sections
from reference_static import Static, decode_static

MAGIC: Final = b"\x89VQC\r\n\x1a\n"
VERSION: Final = 1
MODES: Final = ("all", "conditional", "smooth")
LAYOUTS: Final = dict.fromkeys(range(1, 13), "shared") | {3: "own", 4: "stages", 5: "own"}  # section 3.1
PRIORS: Final = ("static", "context", "context")
ADAPTIVE: Final = 2  # the kind of a context prior whose tables adapt
TILE_STEP: Final = 16  # latents along a tile's side for each 1 of the tile code
MAX_PIXELS: Final = 1 << 27
MAX_INDICES: Final = 1 << 29
MAX_UNTILED: Final = 1 << 13
MAX_STAGES: Final = 16


@dataclass(frozen=True)
class Header:
    """The fixed fields of a file, FORMAT.md section 3."""

    fingerprint: bytes
    width: int
    height: int
    K: int
    m: int
    d_star: int
    beta: int
    mode: str
    depth: int
    half_steps: int
    prior_kind: str
    tile: int  # latents along a side; 0: the picture is one tile
    index_crc: int
    layout: str
    adaptive: bool  # whether the tables of a context prior adapt to each tile


def read_container(data: bytes) -> tuple[Header, dict[int, bytes]]:
    """Check a whole .vqc file; return its header and the payloads of its sections by type."""
    require(data[:8] == MAGIC, "magic", "This is not a .vqc file: its first eight bytes are not the magic.")
    require(len(data) > 8, "truncated", "The file ends before its version.")
    require(data[8] == VERSION, "version", f"The file has format version {data[8]}, this decoder reads {VERSION}.")
    require(len(data) >= 13, "truncated", "The file ends before its checksum.")
    stored = int.from_bytes(data[-4:], "little")
    require(zlib.crc32(data[:-4]) == stored, "file_crc", "The file is damaged or truncated: its checksum is wrong.")
    cursor = Cursor(data[:-4])
    cursor.position = 9
    header, sections = read_header(cursor), read_sections(cursor)
    require(header.tile == 0 or PIXELS not in sections, "section", "The header says tiles, which pixels have not.")
    return header, sections


def read_header(cursor: Cursor) -> Header:
    """The fields between the version and the first section, checked in the order in which they stand."""
    fingerprint = cursor.take(8, "the fingerprint", "header")
    width, height = cursor.number("width", 1, 65535), cursor.number("height", 1, 65535)
    require(width * height <= MAX_PIXELS, "header", f"The picture of {width} x {height} exceeds {MAX_PIXELS} pixels.")
    K = read_codebook_size(cursor)
    m, d_star = cursor.number("m", 1, 4096), cursor.number("d_star", 1, 4096)
    beta, mode, layout, depth = read_quantizer(cursor)
    half_steps = in_range("quality in half steps", cursor.byte("quality", "header"), 2, 200)
    prior_tile = cursor.byte("prior_tile", "header")
    kind, tile = prior_tile & 7, TILE_STEP * (prior_tile >> 3)
    require(kind < len(PRIORS), "header", f"The header says prior = {kind}, which is unknown: a newer file.")
    fits = kind == 0 or (layout, d_star, beta, depth) == ("shared", 2, 1, 2)
    require(fits, "header", f"A context prior cannot have d_star = {d_star}, beta = {beta}, {layout}, depth = {depth}.")
    index_crc = int.from_bytes(cursor.take(4, "the index checksum", "header"), "little")
    kinds = (mode, depth, half_steps, PRIORS[kind])
    return Header(fingerprint, width, height, K, m, d_star, beta, *kinds, tile, index_crc, layout, kind == ADAPTIVE)


def read_codebook_size(cursor: Cursor) -> int:
    """K: a power of two as its exponent, any other number as zero and a varint."""
    code = in_range("K code", cursor.byte("K", "header"), 0, 16)
    if code > 0:
        return 1 << code
    K = cursor.number("K", 2, 65536)
    require(K & (K - 1) != 0, "header", f"The header writes K = {K} in long form although it is a power of two.")
    return K


def read_quantizer(cursor: Cursor) -> tuple[int, str, str, int]:
    """beta, mode, layout and depth: one byte for a shared codebook, three for every other layout."""
    byte = cursor.byte("beta_mode_depth", "header")
    beta = in_range("beta", byte & 15, 1, 8)
    mode = in_range("mode", byte >> 4 & 3, 0, 2)
    require(mode == 0 or beta > 1, "header", f"The header says mode = {mode} with beta = 1, where it must be 0.")
    code = in_range("depth code", byte >> 6, 0, 2)
    if code < 2:
        return beta, MODES[mode], "shared", code + 1
    require(beta == 1, "header", f"The header says beta = {beta} for a layout that has none.")
    layout = LAYOUTS[in_range("layout", cursor.byte("layout", "header"), 1, len(LAYOUTS))]
    depth = in_range("depth", cursor.byte("depth", "header"), 1, MAX_STAGES if layout == "stages" else 1)
    return beta, MODES[mode], "shared" if layout == "stages" and depth == 1 else layout, depth


def check_match(header: Header, model: Model) -> None:
    """The file must have been made with exactly this model."""
    wanted, given = header.fingerprint.hex(), model.fingerprint.hex()
    require(wanted == given, "fingerprint", f"The file needs model {wanted}, this is model {given}.")
    for name in ("layout", "K", "m", "d_star", "beta", "mode", "depth", "prior_kind"):
        in_file, in_model = getattr(header, name), getattr(model, name)
        require(in_file == in_model, "mismatch", f"The file says {name} = {in_file}, its model {in_model}.")


def latent_grid(header: Header, model: Model) -> tuple[int, int]:
    """h and w, the size of the latent grid."""
    rows, columns = (math.ceil(size / model.stride) for size in (header.height, header.width))
    count = model.planes * rows * columns * model.factor**2
    require(count <= MAX_INDICES, "size", f"The file would have {count} indices, the limit is {MAX_INDICES}.")
    return rows, columns


class Tile(NamedTuple):
    """A rectangle of the latent grid, and what messages call it."""

    name: str
    top: int
    left: int
    h: int
    w: int


def cut_grid(rows: int, columns: int, side: int) -> list[Tile]:
    """The tiles of a latent grid, row by row; one if their side is 0."""
    side = side or max(rows, columns)
    corners = [(y, x) for y in range(0, rows, side) for x in range(0, columns, side)]
    return [
        Tile(f"tile {number} of {len(corners)} (row {y // side}, column {x // side})",
             y, x, min(side, rows - y), min(side, columns - x))
        for number, (y, x) in enumerate(corners, 1)
    ]  # fmt: skip


def read_streams(payload: bytes, tiles: list[Tile]) -> list[tuple[int, bytes]]:
    """Checksum and stream of each tile out of the payload of an index section with tiles."""
    cursor, streams = Cursor(payload), []
    for tile in tiles:
        length = cursor.varint(f"length of {tile.name}", "tiles")
        crc = int.from_bytes(cursor.take(4, f"the checksum of {tile.name}", "tiles"), "little")
        streams.append((crc, cursor.take(length, tile.name, "tiles")))
    require(cursor.left == 0, "tiles", f"The index section has {cursor.left} bytes behind its last tile.")
    return streams


def decode_tile(stream: bytes, prior: Static | Context, header: Header, tile: Tile) -> Indices:
    """The indices uint16 [P, f * h, f * w] of a tile out of its stream, of which nothing may be left."""
    rans, row = Rans(stream), ((header.half_steps - 2) * (prior.row_count - 1) + 99) // 198
    if isinstance(prior, Context):
        indices = decode_context(rans, prior, row, (tile.h, tile.w), header.adaptive)
    else:
        indices = decode_static(rans, prior, row, tile.h, tile.w)
    rans.check_end()
    return indices


def coded(header: Header, sections: dict[int, bytes]) -> Header:
    """The header of the picture that the indices are of, which may have half the width and height."""
    if HALVED not in sections:
        return header
    return replace(header, width=(header.width + 1) // 2, height=(header.height + 1) // 2)


def decode_indices(header: Header, model: Model, prior: Static | Context, payload: bytes) -> Indices:
    """uint16 [P, h', w'] out of the payload of the index section, held against its checksums."""
    (rows, columns), f = latent_grid(header, model), model.factor
    fits = model.prior_kind == "static" or header.tile > 0 or rows * columns <= MAX_UNTILED
    require(fits, "size", f"{rows} x {columns} latents without tiles are too many with a context prior.")
    tiles = cut_grid(rows, columns, header.tile)
    streams = [(header.index_crc, payload)]
    if header.tile:
        streams = read_streams(payload, tiles)
        fits = zlib.crc32(b"".join(crc.to_bytes(4, "little") for crc, _ in streams)) == header.index_crc
        require(fits, "index_crc", "The tiles' checksums do not match the index checksum of the header.")
    indices = np.zeros((model.planes, f * rows, f * columns), np.uint16)
    for tile, (crc, stream) in zip(tiles, streams, strict=True):
        part = decode_tile(stream, prior, header, tile)
        fits = zlib.crc32(part.astype("<u2").tobytes()) == crc
        reason = "the file is damaged or was made by another model"
        require(fits, "index_crc", f"The indices of {tile.name} do not match their checksum; {reason}.")
        y, x = f * tile.top, f * tile.left
        indices[:, y : y + f * tile.h, x : x + f * tile.w] = part
    return indices


def decode_pixels(header: Header, sections: dict[int, bytes]) -> npt.NDArray[np.uint8]:
    """uint8 [height, width, 3] out of the section of pixels, held against the index checksum."""
    pixels = unpack_pixels(sections[PIXELS], header.height, header.width, GRAY in sections)
    fits = zlib.crc32(pixels.tobytes()) == header.index_crc
    require(fits, "index_crc", "The pixels do not match the index checksum of the header.")
    return pixels


def decode_overlay(header: Header, sections: dict[int, bytes]) -> npt.NDArray[np.uint8] | None:
    """uint8 [height, width, 4] out of the section of an overlay, if there is one; the last is 255 where it counts."""
    if OVERLAY not in sections:
        return None
    return unpack_overlay(sections[OVERLAY], header.height, header.width, GRAY in sections)


def decode(vqc_bytes: bytes, model_bytes: bytes) -> Indices | npt.NDArray[np.uint8]:
    """The indices uint16 [P, h', w'] of a .vqc file, or its pixels uint8 [height, width, 3] where it has no indices.

    A DecodeError for every fault of file or model, also of an overlay, which `decode_overlay` returns.
    """
    header, sections = read_container(vqc_bytes)
    model, prior = read_model(model_bytes)
    check_match(header, model)
    found: Indices | npt.NDArray[np.uint8]
    if PIXELS in sections:
        found = decode_pixels(header, sections)
    else:
        found = decode_indices(coded(header, sections), model, prior, sections[INDICES])
    decode_overlay(header, sections)
    read_said(sections, header.height, header.width)
    return found


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Decode a .vqc file to its codebook indices, or pixels.")
    parser.add_argument("file", type=Path, help="the .vqc file")
    parser.add_argument("model", type=Path, help="its model, a .safetensors file")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .npy file: uint16 [P, h', w']")
    arguments = parser.parse_args()
    try:
        np.save(arguments.output, decode(arguments.file.read_bytes(), arguments.model.read_bytes()))
    except (DecodeError, OSError) as fault:
        print(f"Error: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
