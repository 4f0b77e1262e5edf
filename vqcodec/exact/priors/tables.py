"""Frequency tables and what all priors do with them: checks, costs, grouping of symbols."""

from __future__ import annotations

from abc import ABC, abstractmethod
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


class Tables(ABC):
    """What codes symbols by the numbers of their tables, which may change from pass to pass of a tile."""

    @abstractmethod
    def coders(self, numbers: IntArray, counts: IntArray) -> list[rans.Table]:
        """Return the coders of tables [N], as they are now for so many symbols [N] each."""

    @abstractmethod
    def costs_of(self, numbers: IntArray, symbols: IntArray) -> npt.NDArray[np.float32]:
        """Return the bits float32 [N] that symbols [N] cost under tables of these numbers [N], as they are now."""

    @abstractmethod
    def enter(self, group: int) -> None:
        """Take note of the group of channels that the next pass is of."""

    @abstractmethod
    def learn(self, pairs: IntArray, far: IntArray, coarse: IntArray, fine: IntArray) -> None:
        """Take note of a pass: coarse and fine indices [N] of units whose classes are at `pairs` [N] in a map [S, S].

        far: bool [N], whether a unit's coarse index is not the zero codevector.
        """

    def symbol_groups(self, numbers: IntArray, symbols: IntArray) -> Groups:
        """Return what rans.encode takes for symbols [N] with table numbers [N]: by table, ascending."""
        coders, members = self._groups(numbers)
        return [(coder, symbols[some]) for coder, some in zip(coders, members, strict=True)]

    def read(self, decoder: rans.Decoder, numbers: IntArray) -> npt.NDArray[np.uint16]:
        """Return the symbols uint16 [N] that symbol_groups wrote for these table numbers."""
        symbols = np.empty(len(numbers), dtype=np.uint16)
        coders, members = self._groups(numbers)
        for coder, some in zip(coders, members, strict=True):
            symbols[some] = decoder.read(coder, len(some))
        return symbols

    def _groups(self, numbers: IntArray) -> tuple[list[rans.Table], list[IntArray]]:
        """Return the coders of these tables [N], by number, and for each the positions that use it, in order."""
        if not len(numbers):
            return [], []
        # Stable, since encoder and decoder must agree on the order of symbols that share a table.
        order = np.argsort(numbers, kind="stable")
        counts = np.bincount(numbers)
        used = np.flatnonzero(counts)
        members: list[IntArray] = []
        start = 0
        for end in np.cumsum(counts[used]).tolist():
            members.append(order[start:end])  # np.split takes longer than all the rest
            start = end
        return self.coders(used, counts[used]), members


class FrequencyTables(Tables):
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

    def costs_of(self, numbers: IntArray, symbols: IntArray) -> npt.NDArray[np.float32]:
        """Return the bits of symbols; see Tables."""
        flat = numbers.astype(np.intp) * self.frequencies.shape[1] + symbols
        bits: npt.NDArray[np.float32] = self.costs.reshape(-1).take(flat)
        return bits

    def enter(self, group: int) -> None:
        """Tables of a model never change."""

    def learn(self, pairs: IntArray, far: IntArray, coarse: IntArray, fine: IntArray) -> None:
        """Tables of a model never change."""

    def coder(self, number: int) -> rans.Table:
        """Return the coder of one table; made when it is first used."""
        if number not in self._coders:
            self._coders[number] = rans.make_table(self.frequencies[number], self.bits)
        return self._coders[number]

    def coders(self, numbers: IntArray, _counts: IntArray) -> list[rans.Table]:
        """Return the coders of tables; see Tables."""
        return [self.coder(number) for number in numbers.tolist()]


def check_map(name: str, numbers: IntArray, shape: tuple[int, ...], tables: int) -> None:
    """Raise ModelError unless a map has this shape and names only tables that exist."""
    if numbers.shape != shape or 0 in shape or int(numbers.max()) >= tables:
        raise ModelError(f"the model's {name} has the wrong shape {numbers.shape} or names a missing table")


def table_row(quality: float, rows: int) -> int:
    """Return which of `rows` rows serves a quality of 1..100 in half steps."""
    return ((round(2 * quality) - 2) * (rows - 1) + 99) // 198
