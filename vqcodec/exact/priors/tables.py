"""Frequency tables and what all priors do with them: checks, costs, grouping of symbols."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vqcodec.errors import ModelError
from vqcodec.exact.bitstream import rans

IntArray = npt.NDArray[np.integer]
Groups = list[tuple[rans.Table, IntArray]]


class Choice(NamedTuple):
    """What an encoder has chosen for a grid (h, w), and what a prior decodes: all that the stream of one tile says.

    indices: uint16 [P, h', w']; classes: uint8, what chose their tables, [h, w] with the static
    prior and [d, h, w] with the context prior; codes: what pixels are made of, with the static prior
    the indices, with the context prior latents int16 [d, h, w] in sixteenths of a step.
    """

    indices: npt.NDArray[np.uint16]
    classes: npt.NDArray[np.uint8]
    codes: npt.NDArray[Any]


class FrequencyTables:
    """Frequencies uint32 [T, symbols], every one at least 1, rows summing to 2^bits; ModelError if not."""

    def __init__(self, name: str, frequencies: IntArray, symbols: int, bits: int) -> None:
        if (
            frequencies.ndim != 2
            or frequencies.shape[1] != symbols
            or not 2 <= symbols <= 65536
            or not len(frequencies)
        ):
            raise ModelError(f"the model's {name} have the wrong shape {frequencies.shape}")
        if not 8 <= bits <= rans.PRECISION_BITS:
            raise ModelError(f"the model's table_bits={bits} is outside 8..{rans.PRECISION_BITS}")
        # At least 1 even for what never occurred: every index must have a code, since an encoder is free to choose it.
        if frequencies.min() < 1 or (frequencies.sum(axis=1, dtype=np.int64) != 1 << bits).any():
            raise ModelError(f"the model's {name} must be at least 1 and sum to 2^{bits} in each row")
        self.frequencies, self.bits = frequencies, bits
        self._coders: dict[int, rans.Table] = {}

    def __len__(self) -> int:
        return len(self.frequencies)

    @cached_property
    def costs(self) -> npt.NDArray[np.float32]:
        """Bits float32 [T, symbols] that each symbol costs under each table."""
        return (self.bits - np.log2(self.frequencies.astype(np.float64))).astype(np.float32)

    def coder(self, number: int) -> rans.Table:
        """Return the coder of one table; made when it is first used."""
        if number not in self._coders:
            self._coders[number] = rans.make_table(self.frequencies[number], self.bits)
        return self._coders[number]

    def symbol_groups(self, numbers: IntArray, symbols: IntArray) -> Groups:
        """Return what rans.encode takes for symbols [N] with table numbers [N]: by table, ascending."""
        return [(self.coder(number), symbols[members]) for number, members in group(numbers)]

    def read(self, decoder: rans.Decoder, numbers: IntArray) -> npt.NDArray[np.uint16]:
        """Return the symbols uint16 [N] that symbol_groups wrote for these table numbers."""
        symbols = np.empty(len(numbers), dtype=np.uint16)
        for number, members in group(numbers):
            symbols[members] = decoder.read(self.coder(number), len(members))
        return symbols


def check_map(name: str, numbers: IntArray, shape: tuple[int, ...], tables: int) -> None:
    """Raise ModelError unless a map has this shape and names only tables that exist."""
    if numbers.shape != shape or 0 in shape or int(numbers.max()) >= tables:
        raise ModelError(f"the model's {name} has the wrong shape {numbers.shape} or names a missing table")


def group(numbers: IntArray) -> Iterator[tuple[int, IntArray]]:
    """Yield each table number, ascending, with the positions that use it, in order."""
    if not len(numbers):
        return
    # Stable, since encoder and decoder must agree on the order of symbols that share a table.
    order = np.argsort(numbers, kind="stable")
    counts = np.bincount(numbers)
    used = np.flatnonzero(counts)
    start = 0
    for number, end in zip(used.tolist(), np.cumsum(counts[used]).tolist(), strict=True):
        yield number, order[start:end]  # np.split takes longer than all the rest
        start = end


def table_row(quality: float, rows: int) -> int:
    """Return which of `rows` rows serves a quality of 1..100 in half steps."""
    return ((round(2 * quality) - 2) * (rows - 1) + 99) // 198
