"""rANS over exact integer tables; the only user of constriction.

A table holds K frequencies that are at least 1 and sum to 2^bits. constriction computes a
cumulative table in floating point; passing frequencies scaled to 24 bits, less one, makes
every partial sum an integer below 2^24, which float32 holds exactly, so that the result
depends on no platform. What a stream holds is a list of groups: symbols of one table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import constriction
import numpy as np
import numpy.typing as npt

from vqcodec.errors import FormatError

PRECISION_BITS = 24
WORD_BYTES = 4

Table = Any  # constriction.stream.model.Categorical; the extension module has no types
Integers = npt.NDArray[np.integer]


def make_table(frequencies: Integers, bits: int) -> Table:
    """Return a coder table for frequencies uint32 [K >= 2] that sum to 2^bits, bits in 8..24."""
    scaled = frequencies.astype(np.int64) << (PRECISION_BITS - bits)
    return make_tables(scaled[None] - 1)[0]


def make_tables(spare: Integers) -> list[Table]:
    """Return coder tables for rows of frequencies that sum to 2^24, each less 1: int64 [N, K >= 2]."""
    model = constriction.stream.model.Categorical
    return [model(row, perfect=False) for row in spare.astype(np.float32)]


def encode(groups: Sequence[tuple[Table, Integers]]) -> bytes:
    """Return the stream that a Decoder reads group by group, in the order given."""
    coder = constriction.stream.stack.AnsCoder()
    for table, symbols in reversed(groups):
        coder.encode_reverse(np.ascontiguousarray(symbols, dtype=np.int32), table)
    words: bytes = coder.get_compressed().astype("<u4").tobytes()
    return words.rstrip(b"\0")


class Decoder:
    """Reads groups of symbols from a stream that `encode` made."""

    def __init__(self, data: bytes) -> None:
        if data.endswith(b"\0"):
            raise FormatError("the index section ends in a zero byte, which no encoder writes; the file is damaged")
        padded = data + bytes(-len(data) % WORD_BYTES)
        self._coder = constriction.stream.stack.AnsCoder(np.frombuffer(padded, dtype="<u4").astype(np.uint32))

    @classmethod
    def of_noise(cls, noise: np.random.BitGenerator, symbols: int) -> Decoder:
        """Return a decoder of random bits, enough for so many symbols: what it reads has the tables' distributions.

        Raw bits, because what NumPy's Generator makes of them may change from version to version.
        """
        words: npt.NDArray[np.uint64] = noise.random_raw(symbols * PRECISION_BITS // 64 + 2)
        return cls(words.astype("<u8").tobytes() + b"\x01")

    def read(self, table: Table, count: int) -> npt.NDArray[np.int32]:
        """Return the next `count` symbols, int32 [count], coded with `table`."""
        symbols: npt.NDArray[np.int32] = self._coder.decode(table, count)
        return symbols

    def read_one(self, table: Table) -> int:
        """Return the next symbol, coded with `table`."""
        return int(self._coder.decode(table))

    def finish(self) -> None:
        """Raise FormatError if the stream holds more than was read."""
        if not self._coder.is_empty():
            raise FormatError("the index section holds more than the indices; the file is damaged")
