"""The reference decoder of the .vqc format: a file and its model in, codebook indices out.

It follows FORMAT.md section by section, uses NumPy and the standard library only, and
shares no code with the `vqcodec` package, so that each can be tested against the other.

    python bitstream/reference_decoder.py photo.vqc model.safetensors -o indices.npy
"""

from __future__ import annotations

import argparse
import math
import sys
import zlib
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from reference_model import DecodeError, Integers, Model, read_model, require

MAGIC: Final = b"\x89VQC\r\n\x1a\n"
VERSION: Final = 1
MODES: Final = ("all", "conditional", "smooth")
INDICES, ICC = 0x01, 0x81  # section types
MAX_PIXELS: Final = 1 << 27
MAX_INDICES: Final = 1 << 28
MAX_ICC_BYTES: Final = 1 << 24
PRECISION: Final = 24  # bits of a scaled frequency
Indices = npt.NDArray[np.uint16]
Table = list[int]
Mask = npt.NDArray[np.bool_]


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
    index_crc: int


class Cursor:
    """Reads bytes from front to back and refuses to pass the end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.position

    def take(self, count: int, name: str, cause: str) -> bytes:
        """The next `count` bytes."""
        require(count <= self.left, cause, f"The file ends inside {name}.")
        self.position += count
        return self.data[self.position - count : self.position]

    def byte(self, name: str, cause: str) -> int:
        """The next byte."""
        return self.take(1, name, cause)[0]

    def varint(self, name: str, cause: str) -> int:
        """An unsigned LEB128 number of at most five bytes in its shortest form."""
        value = 0
        for position in range(5):
            byte = self.byte(name, cause)
            value |= (byte & 0x7F) << (7 * position)
            if byte < 0x80:
                require(byte != 0 or position == 0, cause, f"The number {name} is not in its shortest form.")
                return value
        raise DecodeError(cause, f"The number {name} is longer than 5 bytes.")

    def number(self, name: str, low: int, high: int) -> int:
        """A varint of the header that must lie in low..high."""
        return in_range(name, self.varint(name, "header"), low, high)


def in_range(name: str, value: int, low: int, high: int) -> int:
    """`value` if it lies in low..high, otherwise a fault of the header."""
    require(low <= value <= high, "header", f"The header says {name} = {value}, which is not in {low}..{high}.")
    return value


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
    return read_header(cursor), read_sections(cursor)


def read_header(cursor: Cursor) -> Header:
    """The fields between the version and the first section, checked in the order in which they stand."""
    fingerprint = cursor.take(8, "the fingerprint", "header")
    width, height = cursor.number("width", 1, 65535), cursor.number("height", 1, 65535)
    require(width * height <= MAX_PIXELS, "header", f"The picture of {width} x {height} exceeds {MAX_PIXELS} pixels.")
    K = read_codebook_size(cursor)
    m, d_star = cursor.number("m", 1, 4096), cursor.number("d_star", 1, 4096)
    beta, mode, depth = read_beta_mode_depth(cursor.byte("beta_mode_depth", "header"))
    half_steps = in_range("quality in half steps", cursor.byte("quality", "header"), 2, 200)
    prior_tile = cursor.byte("prior_tile", "header")
    in_range("prior kind", prior_tile & 15, 0, 0)
    in_range("tile code", prior_tile >> 4, 0, 0)
    index_crc = int.from_bytes(cursor.take(4, "the index checksum", "header"), "little")
    return Header(fingerprint, width, height, K, m, d_star, beta, mode, depth, half_steps, index_crc)


def read_codebook_size(cursor: Cursor) -> int:
    """K: a power of two as its exponent, any other number as zero and a varint."""
    code = in_range("K code", cursor.byte("K", "header"), 0, 16)
    if code > 0:
        return 1 << code
    K = cursor.number("K", 2, 65536)
    require(K & (K - 1) != 0, "header", f"The header writes K = {K} in long form although it is a power of two.")
    return K


def read_beta_mode_depth(byte: int) -> tuple[int, str, int]:
    """beta, mode and depth out of their common byte."""
    beta = in_range("beta", byte & 15, 1, 8)
    mode = in_range("mode", byte >> 4 & 3, 0, 2)
    require(mode == 0 or beta > 1, "header", f"The header says mode = {mode} with beta = 1, where it must be 0.")
    depth = in_range("depth", (byte >> 6) + 1, 1, 2)
    return beta, MODES[mode], depth


def read_sections(cursor: Cursor) -> dict[int, bytes]:
    """Walk over all sections; their payloads by type, the index section's among them."""
    payloads: dict[int, bytes] = {}
    while cursor.left:
        kind = cursor.byte("a section's type", "section")
        length = cursor.varint("length of a section", "section")
        payload = cursor.take(length, f"section 0x{kind:02x}", "section")
        known = kind in (INDICES, ICC)
        require(known or kind >= 0x80, "section", f"Section 0x{kind:02x} is mandatory and unknown: a newer file.")
        require(not known or kind not in payloads, "section", f"Section 0x{kind:02x} is there twice.")
        payloads[kind] = payload
    require(INDICES in payloads, "section", "The file has no index section.")
    return payloads


def unpack_icc(payload: bytes | None) -> bytes | None:
    """The ICC profile, if there is one."""
    if payload is None:
        return None
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(payload, MAX_ICC_BYTES)
    except zlib.error as fault:
        raise DecodeError("icc", f"The ICC profile cannot be unpacked ({fault}).") from fault
    require(unpacker.eof and not unpacker.unused_data, "icc", "The ICC profile is incomplete or too long.")
    return profile


def check_match(header: Header, model: Model) -> None:
    """The file must have been made with exactly this model."""
    wanted, given = header.fingerprint.hex(), model.fingerprint.hex()
    require(wanted == given, "fingerprint", f"The file needs model {wanted}, this is model {given}.")
    for name in ("K", "m", "d_star", "beta", "mode", "depth"):
        in_file, in_model = getattr(header, name), getattr(model, name)
        require(in_file == in_model, "mismatch", f"The file says {name} = {in_file}, its model {in_model}.")


def make_table(frequencies: Integers, bits: int) -> Table:
    """Left-cumulative sums, K + 1 of them, at 24 bits, of frequencies [K] that sum to 2^bits."""
    scaled: list[int] = (frequencies << (PRECISION - bits)).tolist()
    return [0, *accumulate(scaled)]


class Rans:
    """The entropy decoder of FORMAT.md section 6: a 64-bit state refilled by 32-bit words from the end."""

    def __init__(self, payload: bytes) -> None:
        require(payload[-1:] != b"\0", "rans", "The index section ends in a zero byte that should have been trimmed.")
        padded = payload + bytes(-len(payload) % 4)
        self.words: list[int] = np.frombuffer(padded, "<u4").tolist()
        self.state: int = self.words.pop() if self.words else 0
        if self.words:
            self.state = self.state << 32 | self.words.pop()

    def decode(self, table: Table, count: int) -> list[int]:
        """The next `count` symbols, all of one table."""
        state, words, mask, symbols = self.state, self.words, (1 << PRECISION) - 1, []
        for _ in range(count):
            quantile = state & mask
            symbol = bisect_right(table, quantile) - 1
            left = table[symbol]
            state = (state >> PRECISION) * (table[symbol + 1] - left) + quantile - left
            if state < 1 << 32 and words:
                state = state << 32 | words.pop()
            symbols.append(symbol)
        self.state = state
        return symbols

    def check_end(self) -> None:
        """After the last symbol a stream is used up and its state is the encoder's first one."""
        require(self.state == 0 and not self.words, "rans", "The index section does not end with its last index.")


def decode_classes(rans: Rans, model: Model, row: int, shape: tuple[int, int]) -> Integers:
    """The class plane [h, w]: in raster order, each class with a table chosen by its left and upper neighbour."""
    classes = np.zeros((shape[0] + 1, shape[1] + 1), np.int64)  # bordered by 0 = none, then 1 + class
    if model.class_map is None or model.class_tables is None:
        return classes[1:, 1:]
    tables = [make_table(frequencies, model.table_bits) for frequencies in model.class_tables]
    for y, x in np.ndindex(shape):
        number = model.class_map[row, classes[y + 1, x], classes[y, x + 1]]
        classes[y + 1, x + 1] = 1 + rans.decode(tables[number], 1)[0]
    return classes[1:, 1:] - 1


def decode_pass(rans: Rans, model: Model, numbers: Integers, chosen: Mask, indices: Indices) -> None:
    """Fill `indices` [P, h', w'] where `chosen` [h', w']: by table number, each table's in C order."""
    for number in np.unique(numbers[:, chosen]):
        members = np.nonzero((numbers == number) & chosen)
        indices[members] = rans.decode(make_table(model.tables[number], model.table_bits), len(members[0]))


def latent_grid(header: Header, model: Model) -> tuple[int, int, int]:
    """h, w and f: the latent grid, and how many times finer the index grid is along each side."""
    factor = 1 if model.mode == "smooth" else model.beta
    rows, columns = (math.ceil(size / model.stride) for size in (header.height, header.width))
    count = model.planes * rows * columns * factor**2
    require(count <= MAX_INDICES, "size", f"The file would have {count} indices, the limit is {MAX_INDICES}.")
    return rows, columns, factor


def decode_indices(header: Header, model: Model, payload: bytes) -> Indices:
    """uint16 [P, h', w'] out of the payload of the index section."""
    rows, columns, factor = latent_grid(header, model)
    rans, indices = Rans(payload), np.zeros((model.planes, rows * factor, columns * factor), np.uint16)
    row = ((header.half_steps - 2) * (len(model.table_map) - 1) + 99) // 198
    classes = decode_classes(rans, model, row, (rows, columns)).repeat(factor, axis=0).repeat(factor, axis=1)
    numbers = model.table_map[row].T[:, classes]
    if model.conditional_map is None:
        decode_pass(rans, model, numbers, np.ones(classes.shape, np.bool_), indices)
    else:
        y, x = np.arange(rows * factor), np.arange(columns * factor)
        base_y, base_x = y - y % factor, x - x % factor
        is_base = (y == base_y)[:, None] & (x == base_x)
        decode_pass(rans, model, numbers, is_base, indices)
        decode_pass(rans, model, model.conditional_map[indices[:, base_y][:, :, base_x]], ~is_base, indices)
    rans.check_end()
    return indices


def decode(vqc_bytes: bytes, model_bytes: bytes) -> Indices:
    """The indices uint16 [P, h', w'] of a .vqc file; a DecodeError for every fault of file or model."""
    header, sections = read_container(vqc_bytes)
    model = read_model(model_bytes)
    check_match(header, model)
    indices = decode_indices(header, model, sections[INDICES])
    fits = zlib.crc32(indices.astype("<u2").tobytes()) == header.index_crc
    require(fits, "index_crc", "The decoded indices do not fit their checksum; the encoder's tables were others.")
    unpack_icc(sections.get(ICC))
    return indices


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Decode a .vqc file to its codebook indices.")
    parser.add_argument("file", type=Path, help="the .vqc file")
    parser.add_argument("model", type=Path, help="its model, a .safetensors file")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .npy file to write, uint16 [P, h', w']")
    arguments = parser.parse_args()
    try:
        np.save(arguments.output, decode(arguments.file.read_bytes(), arguments.model.read_bytes()))
    except (DecodeError, OSError) as fault:
        print(f"Error: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
