"""The static prior: integers only, no network.

Every latent position has a class 0..C-1 (how flat, textured or oriented the picture is there),
coded first, each with a table that follows from the classes to the left and above. The
class, the plane and the quality choose the frequency table of an index. With C = 1 nothing is
coded for the classes and each plane has one table per quality.

bitstream/FORMAT.md, "Static prior", is the law; bitstream/reference_decoder.py is a second
decoder that shares no code with this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from vqcodec.errors import ModelError
from vqcodec.exact.bitstream import rans
from vqcodec.exact.priors.base import Arrays, Model, Prior
from vqcodec.exact.priors.tables import Choice, FrequencyTables, Groups, IntArray, check_map

TENSORS = ("tables", "table_map", "conditional_map", "class_tables", "class_map")
_DTYPES = ("uint32", "uint16", "uint16", "uint32", "uint16")
Classes = npt.NDArray[np.uint8]
MAX_CLASSES = 256


@dataclass(frozen=True)
class StaticPrior(Prior):
    """Frequency tables and the maps that choose among them.

    tables: uint32 [T, K], rows sum to 2^table_bits; table_map: uint16 [R, C, P];
    conditional_map: uint16 [K] or None; with C > 1 class_tables: uint32 [Tc, C] and
    class_map: uint16 [R, C + 1, C + 1], indexed by 1 + class to the left and above (0 = none).
    """

    table_bits: int
    factor: int
    tables: IntArray
    table_map: IntArray
    conditional_map: IntArray | None = None
    class_tables: IntArray | None = None
    class_map: IntArray | None = None

    kind = "static"

    @classmethod
    def of_model(cls, model: Model, arrays: Arrays) -> StaticPrior:
        """Return the prior of a model; ModelError where a table is missing or of another type."""
        missing = [name for name in TENSORS[:2] if name not in arrays]
        if missing:
            raise ModelError(f"the model has no {' and no '.join(missing)}; train it to the end")
        for name, dtype in zip(TENSORS, _DTYPES, strict=True):
            if name in arrays and arrays[name].dtype != dtype:
                raise ModelError(f"the model's {name} are {arrays[name].dtype} instead of {dtype}")
        prior = cls(model.table_bits, model.factor, **{name: arrays[name] for name in TENSORS if name in arrays})
        if (prior.conditional_map is not None) != (model.quantizer["mode"] == "conditional"):
            raise ModelError("the model's conditional_map is missing, or there without a use")
        return prior

    @classmethod
    def owns(cls, tensor: str) -> bool:
        """Return whether a tensor is one of TENSORS; see Prior.owns."""
        return tensor in TENSORS

    def arrays(self) -> Arrays:
        """Return the tensors of a model file, by name, of those that there are."""
        return {name: getattr(self, name) for name in TENSORS if getattr(self, name) is not None}

    def __post_init__(self) -> None:
        if self.tables.ndim != 2 or self.table_map.ndim != 3:
            raise ModelError("the model's tables or table_map have the wrong number of dimensions")
        rows, classes, planes = self.table_map.shape
        if classes > MAX_CLASSES:
            raise ModelError(f"the model has {classes} position classes; at most {MAX_CLASSES} are allowed")
        check_map("table_map", self.table_map, (rows, classes, planes), len(self.index_tables))
        if self.conditional_map is not None:
            check_map("conditional_map", self.conditional_map, (self.K,), len(self.tables))
        if {self.class_tables is None, self.class_map is None} != {classes == 1}:
            raise ModelError(f"the model has {classes} position classes, which does not fit its class tables")
        if self.class_map is not None:
            check_map("class_map", self.class_map, (rows, classes + 1, classes + 1), len(self.class_coders))

    @property
    def K(self) -> int:
        """The number of codevectors, which is the number of symbols of a table."""
        return int(self.tables.shape[1])

    @property
    def planes(self) -> int:
        """The number of index planes P."""
        return int(self.table_map.shape[2])

    @property
    def classes(self) -> int:
        """The number of classes C of latent positions."""
        return int(self.table_map.shape[1])

    @property
    def free_classes(self) -> int:
        """How many position classes an encoder chooses among, so that whoever keeps indices keeps them too."""
        return self.classes

    @cached_property
    def index_tables(self) -> FrequencyTables:
        """The tables of indices, checked."""
        return FrequencyTables("tables", self.tables, self.K, self.table_bits)

    @cached_property
    def class_coders(self) -> FrequencyTables:
        """The tables of classes, checked; only with more than one class."""
        assert self.class_tables is not None
        return FrequencyTables("class_tables", self.class_tables, self.classes, self.table_bits)

    @property
    def table_costs(self) -> npt.NDArray[np.float32]:
        """Bits float32 [T, K] that each index costs under each table."""
        return self.index_tables.costs

    @property
    def rows(self) -> int:
        """The number R of rows of table_map and class_map."""
        return len(self.table_map)

    def choose_classes(self, costs: npt.NDArray[np.float32], quality: float) -> IntArray:
        """Return classes [h, w] for costs float32 [C, h, w], the bits of each position's indices under each class.

        Greedy in raster order: the bits of the class itself, given its neighbors, are counted.
        """
        if self.class_map is None or self.class_tables is None:
            return np.zeros(costs.shape[1:], dtype=np.uint8)
        class_costs = self.table_bits - np.log2(self.class_tables)
        table_of = self.class_map[self.row(quality)]
        _, height, width = costs.shape
        # 0 stands for no neighbor, so classes are counted from 1 here.
        padded = np.zeros((height + 1, width + 1), dtype=np.int64)
        for y in range(height):
            for x in range(width):
                context = class_costs[table_of[padded[y + 1, x], padded[y, x + 1]]]
                padded[y + 1, x + 1] = 1 + (costs[:, y, x] + context).argmin()
        return (padded[1:, 1:] - 1).astype(np.uint8)

    def encode(self, indices: IntArray, classes: IntArray, quality: float) -> bytes:
        """Return the rANS bytes of indices [P, h', w'] and classes [h, w]."""
        groups = self._class_groups(classes, self.row(quality))
        for places, numbers in self._passes(indices, classes, self.row(quality)):
            groups += self.index_tables.symbol_groups(numbers, indices.reshape(-1)[places])
        return rans.encode(groups)

    def symbols(self, grid: tuple[int, int]) -> int:
        """Return an index for each plane and cell, and a class for each position."""
        return (self.planes * self.factor**2 + 1) * grid[0] * grid[1]

    def follow(self, indices: npt.NDArray[np.uint16], classes: Classes, _quality: float) -> Choice:
        """Return what a decoder makes of indices uint16 [P, h', w'] and classes uint8 [h, w]."""
        return Choice(indices, classes, indices)

    def read(self, decoder: rans.Decoder, grid: tuple[int, int], quality: float) -> Choice:
        """Return classes and indices of a grid, classes first; see Prior.read."""
        row = self.row(quality)
        classes = self._decode_classes(decoder, grid, row)
        shape = (self.table_map.shape[2], grid[0] * self.factor, grid[1] * self.factor)
        indices = np.zeros(shape, dtype=np.uint16)
        flat = indices.reshape(-1)
        for places, numbers in self._passes(indices, classes, row):
            flat[places] = self.index_tables.read(decoder, numbers)
        return Choice(indices, classes, indices)

    def class_bits(self, classes: IntArray, quality: float) -> float:
        """Return the bits of the classes under their tables."""
        # One by one as they are coded: each has a table that its neighbors chose.
        class_bits = 0.0
        for number, symbol in self._class_symbols(classes, self.row(quality)):
            class_bits += self.table_bits - float(np.log2(self.class_tables[number, symbol]))  # type: ignore[index]
        return class_bits

    def index_bits(self, indices: IntArray, classes: IntArray, quality: float) -> npt.NDArray[np.float32]:
        """Return float32 [P, h', w'], the bits that each index costs under the table that codes it."""
        costs = np.empty(indices.size, dtype=np.float32)
        for places, numbers in self._passes(indices, classes, self.row(quality)):
            costs[places] = self.table_costs[numbers, indices.reshape(-1)[places]]
        return costs.reshape(indices.shape)

    def _passes(self, indices: IntArray, classes: IntArray, row: int) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield flat places and their table numbers, pass by pass.

        The second pass of mode `conditional` looks at the indices of the first, so a decoder
        must have stored those before it asks for the second.
        """
        repeated = classes.repeat(self.factor, axis=0).repeat(self.factor, axis=1)
        numbers = np.moveaxis(self.table_map[row][repeated], 2, 0).reshape(-1)
        if self.conditional_map is None:
            yield np.arange(numbers.size), numbers
            return
        planes, height, width = indices.shape
        y, x = np.arange(height), np.arange(width)
        base_y, base_x = y - y % self.factor, x - x % self.factor
        is_base = np.broadcast_to((y == base_y)[:, None] & (x == base_x), indices.shape).reshape(-1)
        yield np.flatnonzero(is_base), numbers[is_base]
        base = indices[np.arange(planes)[:, None, None], base_y[None, :, None], base_x].reshape(-1)
        yield np.flatnonzero(~is_base), self.conditional_map[base[~is_base]]

    def _class_symbols(self, classes: IntArray, row: int) -> list[tuple[int, int]]:
        """Return (class table, class) in raster order; empty with one class."""
        if self.class_map is None:
            return []
        left = np.pad(classes.astype(np.int64) + 1, ((0, 0), (1, 0)))[:, :-1]
        above = np.pad(classes.astype(np.int64) + 1, ((1, 0), (0, 0)))[:-1]
        numbers = self.class_map[row][left, above]
        return list(zip(numbers.reshape(-1).tolist(), classes.reshape(-1).tolist(), strict=True))

    def _class_groups(self, classes: IntArray, row: int) -> Groups:
        symbols = self._class_symbols(classes, row)
        return [(self.class_coders.coder(t), np.array([symbol], dtype=np.int32)) for t, symbol in symbols]

    def _decode_classes(self, decoder: rans.Decoder, grid: tuple[int, int], row: int) -> Classes:
        height, width = grid
        if self.class_map is None:
            return np.zeros(grid, dtype=np.uint8)
        table_of = self.class_map[row].tolist()
        above = [0] * width
        rows = []
        for _ in range(height):
            # A class needs the two before it, so this cannot be done for a whole row at once, as indices are.
            left = 0
            for x in range(width):
                left = 1 + decoder.read_one(self.class_coders.coder(table_of[left][above[x]]))
                above[x] = left
            rows.append(above.copy())
        return (np.array(rows) - 1).astype(np.uint8)


def row_quality(row: int, rows: int) -> float:
    """Return the quality in the middle of the range that a row of the tables serves, to fit the row at."""
    return 50.5 if rows == 1 else 1 + 99 * row / (rows - 1)
