"""What all parts of the reference decoder share: faults, frequency tables, and FORMAT.md section 6, the rANS decoder.

It needs NumPy and the standard library only.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Any, Final

import numpy as np
import numpy.typing as npt

PRECISION: Final = 24  # bits of a scaled frequency
Integers = npt.NDArray[np.int64]
Indices = npt.NDArray[np.uint16]
Tensors = dict[str, npt.NDArray[Any]]
Table = list[int]


class DecodeError(Exception):
    """A file or model that must be refused; `cause` is the name of the fault in FORMAT.md section 7."""

    def __init__(self, cause: str, sentence: str) -> None:
        super().__init__(sentence)
        self.cause = cause


def require(condition: bool, cause: str, sentence: str) -> None:
    """Raise a DecodeError unless `condition` holds."""
    if not condition:
        raise DecodeError(cause, sentence)


def check_tables(name: str, tables: Integers, symbols: int, bits: int) -> int:
    """The number of rows of frequency tables [.., symbols], entries of at least 1, rows summing to 2^bits."""
    require(tables.ndim == 2 and tables.shape[1] == symbols >= 2, "model", f"The model's {name} have a wrong shape.")
    sums_fit = bool((tables.sum(axis=1) == 1 << bits).all())
    require(sums_fit and bool((tables >= 1).all()), "model", f"A row of {name} has a wrong sum or an entry below 1.")
    return len(tables)


def make_table(frequencies: Integers, bits: int) -> Table:
    """Left-cumulative sums, K + 1 of them, at 24 bits, of frequencies [K] that sum to 2^bits."""
    scaled: list[int] = (frequencies << (PRECISION - bits)).tolist()
    return [0, *accumulate(scaled)]


class Rans:
    """The symbols of a stream: a 64-bit state refilled by 32-bit words from the end."""

    def __init__(self, payload: bytes) -> None:
        require(payload[-1:] != b"\0", "rans", "An index stream ends in a zero byte that should have been trimmed.")
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
        require(self.state == 0 and not self.words, "rans", "An index stream does not end with its last index.")
