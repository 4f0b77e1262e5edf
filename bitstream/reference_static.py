"""The static prior of the reference decoder: what FORMAT.md says of it in sections 4.1 and 5.3.

It needs NumPy and the standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from reference_rans import Indices, Integers, Rans, Tensors, check_tables, make_table, require

TENSORS: Final = ("tables", "table_map", "conditional_map", "class_tables", "class_map")
DTYPES: Final = ("uint32", "uint16", "uint16", "uint32", "uint16")
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Static:
    """Settings and tensors of a static prior."""

    factor: int  # f, how many times finer the index grid is than the latent grid along each side
    table_bits: int
    tables: Integers  # [T, K], every row sums to 2^table_bits
    table_map: Integers  # [R, C, P], numbers of tables
    conditional_map: Integers | None = None  # [K], numbers of tables; only in mode "conditional"
    class_tables: Integers | None = None  # [Tc, C], every row sums to 2^table_bits; only with C > 1
    class_map: Integers | None = None  # [R, C + 1, C + 1], numbers of class tables; only with C > 1

    @property
    def row_count(self) -> int:
        """R, how many rows of qualities there are."""
        return len(self.table_map)


def check_map(name: str, numbers: Integers, shape: tuple[int, ...], tables: int) -> None:
    """A map of this shape whose entries number existing tables."""
    fits = numbers.shape == shape and 0 not in shape and bool((numbers < tables).all())
    require(fits, "model", f"The model's {name} has a wrong shape or names a table that is not there.")


def read_static(tensors: Tensors, K: int, planes: int, factor: int, mode: str, table_bits: int) -> Static:
    """The static prior of a model: usable whatever the symbols are, each tensor there exactly if it is used."""
    for name, dtype in zip(TENSORS, DTYPES, strict=True):
        fits = name not in tensors or tensors[name].dtype == dtype
        require(fits, "model", f"The model's {name} has a wrong type.")
    arrays: dict[str, Any] = {name: tensors[name].astype(np.int64) for name in TENSORS if name in tensors}
    static = Static(factor, table_bits, **arrays)
    require(static.table_map.ndim == 3, "model", "The model's table_map does not have three dimensions.")
    rows, classes, _ = static.table_map.shape
    tables = check_tables("tables", static.tables, K, table_bits)
    check_map("table_map", static.table_map, (rows, classes, planes), tables)
    conditional, class_tables, class_map = static.conditional_map, static.class_tables, static.class_map
    if conditional is not None:
        check_map("conditional_map", conditional, (K,), tables)
    if class_tables is not None and class_map is not None:
        count = check_tables("class_tables", class_tables, classes, table_bits)
        check_map("class_map", class_map, (rows, classes + 1, classes + 1), count)
    for name, tensor, wanted in (
        ("conditional_map", conditional, mode == "conditional"),
        ("class_tables", class_tables, classes > 1),
        ("class_map", class_map, classes > 1),
    ):
        require((tensor is not None) == wanted, "model", f"The model's {name} is missing, or there without a use.")
    return static


def decode_classes(rans: Rans, static: Static, row: int, shape: tuple[int, int]) -> Integers:
    """The class plane [h, w]: in raster order, each class with a table chosen by its left and upper neighbor."""
    classes = np.zeros((shape[0] + 1, shape[1] + 1), np.int64)  # bordered by 0 = none, then 1 + class
    if static.class_map is None or static.class_tables is None:
        return classes[1:, 1:]
    tables = [make_table(frequencies, static.table_bits) for frequencies in static.class_tables]
    for y, x in np.ndindex(shape):
        number = static.class_map[row, classes[y + 1, x], classes[y, x + 1]]
        classes[y + 1, x + 1] = 1 + rans.decode(tables[number], 1)[0]
    return classes[1:, 1:] - 1


def decode_pass(rans: Rans, static: Static, numbers: Integers, chosen: Mask, indices: Indices) -> None:
    """Fill `indices` [P, f * h, f * w] where `chosen` [f * h, f * w]: by table number, each table's in C order."""
    for number in np.unique(numbers[:, chosen]):
        members = np.nonzero((numbers == number) & chosen)
        indices[members] = rans.decode(make_table(static.tables[number], static.table_bits), len(members[0]))


def decode_static(rans: Rans, static: Static, row: int, h: int, w: int) -> Indices:
    """The indices uint16 [P, f * h, f * w] of a tile of h x w latents."""
    f = static.factor
    classes = decode_classes(rans, static, row, (h, w)).repeat(f, axis=0).repeat(f, axis=1)
    numbers = static.table_map[row].T[:, classes]
    indices = np.zeros(numbers.shape, np.uint16)
    if static.conditional_map is None:
        decode_pass(rans, static, numbers, np.ones(classes.shape, np.bool_), indices)
        return indices
    y, x = np.arange(f * h), np.arange(f * w)
    base_y, base_x = y - y % f, x - x % f
    is_base = (y == base_y)[:, None] & (x == base_x)
    decode_pass(rans, static, numbers, is_base, indices)
    decode_pass(rans, static, static.conditional_map[indices[:, base_y][:, :, base_x]], ~is_base, indices)
    return indices
