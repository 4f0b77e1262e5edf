"""A context prior by hand: tiny random models, .vqc files byte by byte, and an encoder in plain Python.

The encoder follows bitstream/FORMAT.md sections 5.4 to 5.6 position by position, number by number, and
takes the phases out of that text's own table, so that it shares nothing with the reference decoder.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from adaptive_by_hand import NONE, AdaptiveTables, Tables
from safetensors.numpy import save

from vqcodec.exact.bitstream import rans

BITSTREAM = Path(__file__).parent.parent / "bitstream"
sys.path.insert(0, str(BITSTREAM))
reference_model: Any = importlib.import_module("reference_model")

AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
Pairs = list[tuple[int, int]]
Indices = npt.NDArray[np.uint16]
Arrays = dict[str, npt.NDArray[Any]]
Place = tuple[int, int]


class Model(NamedTuple):
    """The JSON object "vqc" of a model file, and its tensors."""

    metadata: dict[str, Any]
    arrays: Arrays

    def fingerprint(self) -> bytes:
        """The fingerprint that this model should have."""
        fingerprint: bytes = reference_model.compute_fingerprint(self.metadata, self.arrays)
        return fingerprint

    def to_bytes(self) -> bytes:
        """The model file."""
        values = self.metadata | {"format": 1, "fingerprint": self.fingerprint().hex()}
        data: bytes = save(self.arrays, {"vqc": json.dumps(values)})
        return data


def make_model(
    seed: int = 0,
    groups: Sequence[int] = (2, 4),
    rows: int = 2,
    patterns: Sequence[str] = ("deep", "fine", "coarse"),
    starts: Sequence[int] = (0, 0, 0),
) -> Model:
    """A random model with K = 8, H = E = 4, S = 6 and 7 tables; two codevectors are (0, 0)."""
    patterns, starts = list(patterns)[: len(groups)], list(starts)[: len(groups)]
    rng = np.random.default_rng(seed)
    K, E, H, S, T, d = 8, 4, 4, 6, 7, sum(groups)
    quantizer = {"name": "looc", "K": K, "m": d // 2, "d_star": 2, "beta": 1, "mode": "all", "depth": 2}
    metadata = {"network": {"name": "none"}, "stride": 1, "table_bits": 12}
    metadata |= {"quantizer": quantizer | {"wide": d // 2, "scale": 5.0}}
    metadata |= {"context": {"groups": list(groups), "embed": E, "hidden": H, "bound": 1 << 22}}
    metadata["context"] |= {"patterns": patterns, "starts": starts}
    tables = rng.integers(1, 300, (T, K))
    tables[:, 0] += 4096 - tables.sum(axis=1)
    codebook = rng.integers(-40, 41, (K, 2)).astype(np.int16)
    codebook[[3, 6]] = 0
    coarse_map = rng.integers(0, T, (S, S)).astype(np.uint16)
    coarse_map[rng.random((S, S)) < 0.3] = NONE
    arrays: Arrays = {
        "codebook": (codebook / 16).astype(np.float32),
        "context.codebook16": codebook,
        "context.unit": rng.integers(30, 400, (rows, d)).astype(np.int32),
        "context.fine_map": rng.integers(0, T, (S, S, 2)).astype(np.uint16),
        "context.coarse_map": coarse_map,
        "context.tables": tables.astype(np.uint32),
    }
    for group, n in enumerate(groups):
        inputs = {"second": (H, H), "out": (H, 2 * n)}
        phases = phases_of(patterns[group])
        inputs |= {f"own.{p}": (len(phase.offsets) * n, H) for p, phase in enumerate(phases) if p}
        for p, phase in enumerate(phases):
            if p and patterns[group] != "coarse":
                inputs[f"rough.{p}"] = (n, H)
                weight = rng.integers(-1500, 1500, (len(phase.offsets) * n, n))
                arrays[f"context.{group}.linear.{p}.weight"] = weight.astype(np.int16)
        inputs |= {"embed": (sum(groups[:group]), E), "around": (9 * E, H)} if group else {}
        biases = {"first": (len(phases), rows, H), "second": (H,), "out": (rows, 2 * n), "embed": (E,)}
        for name, shape in inputs.items():
            arrays[f"context.{group}.{name}.weight"] = rng.integers(-127, 128, shape).astype(np.int8)
        for name in set(biases) & {"first", *inputs}:
            shift = rng.integers(6, 10, biases[name][-1])
            shift[0] = 14 * (group == 0 and name == "out")
            arrays[f"context.{group}.{name}.shift"] = shift.astype(np.uint8)
            arrays[f"context.{group}.{name}.bias"] = rng.integers(-4000, 9000, biases[name]).astype(np.int32)
    return Model(metadata, arrays)


class Phase(NamedTuple):
    """A row of the table in FORMAT.md section 5.4."""

    period: int
    cells: Pairs
    offsets: Pairs


@cache
def phases_of(name: str) -> tuple[Phase, ...]:
    """The phases of a pattern as FORMAT.md lists them."""
    period = {"deep": 16, "fine": 4, "coarse": 2}[name]
    text = (BITSTREAM / "FORMAT.md").read_text(encoding="utf-8")
    found = re.findall(rf"^\| {name} \| \d \| (\(.*) \| (.*) \|$", text, re.MULTILINE)
    return tuple(Phase(period, *(_pairs(column) for column in row)) for row in found)


def _pairs(text: str) -> Pairs:
    return [(int(a), int(b)) for a, b in re.findall(r"\((-?\d+),(-?\d+)\)", text)]


def places_of(phase: Phase, h: int, w: int) -> list[Place]:
    """The positions of a phase in a tile, in order."""
    return [
        (y, x)
        for cell in phase.cells
        for y in range(h)
        for x in range(w)
        if (y % phase.period, x % phase.period) == cell
    ]


def _act(total: int, shift: int) -> int:
    return min(max((total + (1 << shift >> 1)) // (1 << shift), 0), 127)


STEP = {-2: 41285, -1: 52016, 0: 65536, 1: 82570, 2: 104032}


def _dense(inputs: Sequence[int], weight: list[list[int]], bias: Sequence[int]) -> list[int]:
    return [b + sum(a * row[j] for a, row in zip(inputs, weight, strict=True)) for j, b in enumerate(bias)]


class Encoder:
    """One tile, coded while its indices are drawn: `draw` gives a symbol for the frequencies of a table."""

    def __init__(
        self, model: Model, row: int, h: int, w: int, draw: Callable[[Sequence[int]], int], adaptive: bool = False
    ) -> None:
        self.tables = (AdaptiveTables if adaptive else Tables)(model.arrays, model.metadata["table_bits"])
        self.row, self.h, self.w, self.draw = row, h, w, draw
        self.groups: list[int] = model.metadata["context"]["groups"]
        self.patterns: list[str] = model.metadata["context"]["patterns"]
        self.starts: list[int] = model.metadata["context"]["starts"]
        self.scale = int(model.metadata["quantizer"]["scale"])
        tensors = {name.removeprefix("context."): array.tolist() for name, array in model.arrays.items()}
        self.tensors: dict[str, Any] = tensors
        self.zero: int = self.tensors["codebook16"].index([0, 0])
        self.x: dict[tuple[int, int, int], int] = {}
        self.y16: dict[tuple[int, int, int], int] = {}
        self.indices: Indices = np.full((sum(self.groups), h, w), self.zero, np.uint16)
        self.coded: list[tuple[list[int], int]] = []

    def run(self) -> tuple[bytes, Indices]:
        """The stream of the tile and its indices."""
        for group in range(len(self.groups)):
            if self.starts[group] > self.row:
                continue
            self.tables.begin_group()
            for p, phase in enumerate(phases_of(self.patterns[group])):
                self._code_pass(group, p, places_of(phase, self.h, self.w), phase.offsets)
        coded = [(rans.make_table(np.array(table), 24), np.array([symbol], np.int32)) for table, symbol in self.coded]
        return rans.encode(coded), self.indices

    def _code_pass(self, group: int, p: int, places: list[Place], offsets: Pairs) -> None:
        start, n, m = sum(self.groups[:group]), self.groups[group], sum(self.groups) // 2
        outputs = {place: self._outputs(group, p, place, offsets) for place in places}
        symbols = [(place, v) for place in places for v in range(n // 2)]
        classes = {(place, v): outputs[place][1][2 * v : 2 * v + 2] for place, v in symbols}
        coarse = dict.fromkeys(symbols, self.zero)
        numbers = {symbol: self.tensors["coarse_map"][i][j] for symbol, (i, j) in classes.items()}
        coarse |= self._draw({symbol: t for symbol, t in numbers.items() if t != NONE})
        far = {symbol: int(index != self.zero) for symbol, index in coarse.items()}
        fine = self._draw({symbol: self.tensors["fine_map"][i][j][far[symbol]] for symbol, (i, j) in classes.items()})
        for (y, x), v in symbols:
            a, b, unit = coarse[(y, x), v], fine[(y, x), v], start // 2 + v
            self.indices[unit, y, x], self.indices[m + unit, y, x] = a, b
            for k in range(2):
                y16 = outputs[y, x][0][2 * v + k]
                y16 += self.scale * self.tensors["codebook16"][a][k] + self.tensors["codebook16"][b][k]
                finer = outputs[y, x][2]
                y16 = (y16 * STEP[-finer] + 32768) // 65536
                self.y16[y, x, 2 * unit + k] = y16
                u = self.tensors["unit"][self.row][2 * unit + k]
                self.x[y, x, 2 * unit + k] = min(max((32 * y16 + u) // (2 * u), -127), 127)

        self.tables.count(classes, coarse, fine)

    def _draw(self, numbers: dict[tuple[Place, int], int]) -> dict[tuple[Place, int], int]:
        drawn, uses = {}, Counter(numbers.values())
        tables = {number: self.tables.table(number, count) for number, count in uses.items()}
        for symbol in sorted(numbers, key=numbers.__getitem__):  # sorted() keeps the order of equals
            table = tables[numbers[symbol]]
            drawn[symbol] = self.draw(table)
            self.coded.append((table, drawn[symbol]))
        return drawn

    def _layer(self, group: int, name: str, inputs: Sequence[int], bias: Sequence[int]) -> list[int]:
        totals = _dense(inputs, self.tensors[f"{group}.{name}.weight"], bias)
        return [_act(*pair) for pair in zip(totals, self.tensors[f"{group}.{name}.shift"], strict=True)]

    def _embedding(self, group: int, y: int, x: int) -> list[int]:
        if not (0 <= y < self.h and 0 <= x < self.w):
            return [0] * len(self.tensors[f"{group}.embed.bias"])
        inputs = [self.x.get((y, x, c), 0) for c in range(sum(self.groups[:group]))]
        return self._layer(group, "embed", inputs, self.tensors[f"{group}.embed.bias"])

    def _linear(self, group: int, p: int, around: Sequence[Place]) -> tuple[list[int], list[int]]:
        start, n = sum(self.groups[:group]), self.groups[group]
        inside = [(y, x) for y, x in around if 0 <= y < self.h and 0 <= x < self.w]
        near = [[self.y16[y, x, start + i] for y, x in inside] for i in range(n)]
        means = [(2 * sum(values) + len(inside)) // (2 * len(inside)) for values in near]
        filled = [self.y16.get((y, x, start + i), means[i]) for y, x in around for i in range(n)]
        weight = self.tensors[f"{group}.linear.{p}.weight"]
        linear = [(total + 2048) // 4096 for total in _dense(filled, weight, [0] * n)]
        far = [sum(abs(value - lin) for value in values) for values, lin in zip(near, linear, strict=True)]
        return linear, [min((2 * total + len(inside)) // (2 * len(inside)), 127) for total in far]

    def _outputs(self, group: int, p: int, place: Place, offsets: Pairs) -> tuple[list[int], list[int], int]:
        (y, x), start, n = place, sum(self.groups[:group]), self.groups[group]
        first: list[int] = self.tensors[f"{group}.first.bias"][p][self.row]
        if group:
            around = [e for dy, dx in AROUND for e in self._embedding(group, y + dy, x + dx)]
            first = _dense(around, self.tensors[f"{group}.around.weight"], first)
        if p:
            own = [self.x.get((y + dy, x + dx, start + c), 0) for dy, dx in offsets for c in range(n)]
            first = _dense(own, self.tensors[f"{group}.own.{p}.weight"], first)
        linear = [0] * n
        if p and self.patterns[group] != "coarse":
            linear, rough = self._linear(group, p, [(y + dy, x + dx) for dy, dx in offsets])
            first = _dense(rough, self.tensors[f"{group}.rough.{p}.weight"], first)
        hidden = [_act(*pair) for pair in zip(first, self.tensors[f"{group}.first.shift"], strict=True)]
        hidden = self._layer(group, "second", hidden, self.tensors[f"{group}.second.bias"])
        o = _dense(hidden, self.tensors[f"{group}.out.weight"], self.tensors[f"{group}.out.bias"][self.row])
        shift, spread = self.tensors[f"{group}.out.shift"], self.tensors["unit"][self.row][start:]
        means = [(o[i] * spread[i] + 8 * 2 ** shift[i]) // (16 * 2 ** shift[i]) + linear[i] for i in range(n)]
        means = [min(max(mean, -32768), 32767) for mean in means]
        top = len(self.tensors["coarse_map"]) - 1
        classes = [min(max((o[i] + 8 * 2 ** shift[i]) // (16 * 2 ** shift[i]), 0), top) for i in range(n, 2 * n)]
        if f"{group}.masking" not in self.tensors:
            return means, classes, 0
        count = max(1, n // 4)
        more = self.tensors[f"{group}.masking"][p][self.row] - sum(sorted(classes)[-count:])
        finer = min(max((2 * more + 4 * count) // (8 * count), -2), 2)
        means = [(mean * STEP[finer] + 32768) // 65536 for mean in means]
        return means, [min(max(number + finer, 0), top) for number in classes], finer


def varint(value: int) -> bytes:
    """A number as unsigned LEB128."""
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def tile_sizes(h: int, w: int, code: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of each tile of a latent grid."""
    side = 16 * code or max(h, w)
    for y in range(0, h, side):
        for x in range(0, w, side):
            yield slice(y, min(y + side, h)), slice(x, min(x + side, w))


def make_payload(streams: Sequence[bytes], parts: Sequence[Indices], code: int) -> tuple[bytes, int]:
    """The payload of an index section, and the index checksum."""
    crcs = [zlib.crc32(part.astype("<u2").tobytes()) for part in parts]
    if code == 0:
        return streams[0], crcs[0]
    tables = [crc.to_bytes(4, "little") for crc in crcs]
    entries = [varint(len(stream)) + crc + stream for stream, crc in zip(streams, tables, strict=True)]
    return b"".join(entries), zlib.crc32(b"".join(tables))


def make_file(
    model: Model, size: tuple[int, int], half_steps: int, prior_tile: int, payload: bytes, index_crc: int
) -> bytes:
    """A .vqc file with one section; `size` is height and width in pixels."""
    q = model.metadata["quantizer"]
    K, mode = q["K"], ("all", "conditional", "smooth").index(q["mode"])
    body = b"\x89VQC\r\n\x1a\n\1" + model.fingerprint() + varint(size[1]) + varint(size[0])
    body += (b"\0" + varint(K) if K & (K - 1) else bytes([K.bit_length() - 1])) + varint(q["m"]) + varint(q["d_star"])
    body += bytes([q["beta"] | mode << 4 | q["depth"] - 1 << 6, half_steps, prior_tile])
    body += index_crc.to_bytes(4, "little") + b"\1" + varint(len(payload)) + payload
    return body + zlib.crc32(body).to_bytes(4, "little")
