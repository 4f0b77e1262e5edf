"""The context prior of the reference decoder: what FORMAT.md says of it in sections 4.3, 4.4 and 5.4 to 5.7.

It needs NumPy and the standard library only. All arithmetic is that of 64-bit integers, and no
intermediate result of a usable model comes near their limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from reference_adaptive import AdaptiveTables, ModelTables, Stream
from reference_masking import check_usual, finer_steps, rescale
from reference_patterns import AROUND, LINEAR, PATTERNS, Offset, gather, places_of
from reference_rans import Indices, Integers, Rans, Tensors, check_tables, require

NO_COARSE: Final = 65535  # in coarse_map
MAX_WEIGHT, MAX_SHIFT, MAX_BOUND, MAX_SCALE, MAX_LEVELS = 127, 14, 1 << 22, 255, 256
MAX_SIZE: Final = 1 << 16  # of starts, E and H
MAX_INPUT: Final = 127  # the largest number that a dense layer sees
MAX_LINEAR: Final = 1024  # channels of a group with linear predictions

Net = dict[str, Integers]  # the tensors of one group by name, without "context.", the number and a dot


@dataclass(frozen=True)
class Context:
    """Settings and tensors of a context prior, FORMAT.md section 4.3."""

    groups: tuple[int, ...]  # how many channels each has
    patterns: tuple[str, ...]  # the name of each group's pattern
    starts: tuple[int, ...]  # the row from which each group is coded
    scale: int  # of the coarse codevector
    zero: int  # ZERO, the lowest number of a codevector (0, 0)
    table_bits: int
    codebook16: Integers  # [K, 2], in sixteenths
    spread: Integers  # [R, d]
    fine_map: Integers  # [S, S, 2], numbers of tables
    coarse_map: Integers  # [S, S], numbers of tables or NO_COARSE
    tables: Integers  # [T, K], every row sums to 2^table_bits
    nets: tuple[Net, ...]  # one for each group

    @property
    def row_count(self) -> int:
        """R, how many rows of qualities there are."""
        return len(self.spread)


# Reading a model, section 4.3


def take_tensor(tensors: Tensors, name: str, dtype: str, shape: Sequence[int | None]) -> Integers:
    """A tensor of this type and shape; None stands for any length but 0."""
    require(name in tensors, "model", f"The model has no tensor {name}.")
    tensor = tensors[name]
    fits = len(tensor.shape) == len(shape) and all(
        size == wanted or (wanted is None and size > 0) for size, wanted in zip(tensor.shape, shape, strict=False)
    )
    require(tensor.dtype.name == dtype and fits, "model", f"The model's {name} has a wrong type or shape.")
    return tensor.astype(np.int64)


def net_tensors(
    group: int, groups: Sequence[int], pattern: str, masked: bool, rows: int, E: int, H: int
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of each tensor of one group."""
    n, before, phases = groups[group], sum(groups[:group]), PATTERNS[pattern].phases
    wanted: dict[str, tuple[str, tuple[int, ...]]] = {
        "first.bias": ("int32", (len(phases), rows, H)),
        "first.shift": ("uint8", (H,)),
        "second.weight": ("int8", (H, H)),
        "second.bias": ("int32", (H,)),
        "second.shift": ("uint8", (H,)),
        "out.weight": ("int8", (H, 2 * n)),
        "out.bias": ("int32", (rows, 2 * n)),
        "out.shift": ("uint8", (2 * n,)),
    }
    if masked and pattern not in LINEAR:
        wanted["masking"] = ("int32", (len(phases), rows))
    for number, phase in enumerate(phases):
        if number > 0:
            wanted[f"own.{number}.weight"] = ("int8", (len(phase.offsets) * n, H))
        if number > 0 and pattern in LINEAR:
            wanted[f"linear.{number}.weight"] = ("int16", (len(phase.offsets) * n, n))
            wanted[f"rough.{number}.weight"] = ("int8", (n, H))
    if group > 0:
        wanted["embed.weight"] = ("int8", (before, E))
        wanted["embed.bias"] = ("int32", (E,))
        wanted["embed.shift"] = ("uint8", (E,))
        wanted["around.weight"] = ("int8", (len(AROUND) * E, H))
    return wanted


def check_net(group: int, net: Net, bound: int) -> None:
    """Weights and shifts in their ranges, and no sum of any layer beyond the bound, section 4.4."""
    for name, tensor in net.items():
        if name.endswith(".weight") and not name.startswith("linear."):
            require(int(tensor.min()) >= -MAX_WEIGHT, "model", f"The model's context.{group}.{name} has a weight -128.")
        if name == "masking":
            check_usual(f"context.{group}.masking", tensor)
        if name.endswith(".shift"):
            require(int(tensor.max()) <= MAX_SHIFT, "model", f"The model's context.{group}.{name} exceeds {MAX_SHIFT}.")
    inputs = {name.removesuffix(".weight"): abs(net[name]).sum(axis=0) for name in net if name.endswith(".weight")}
    layers = [
        (f"{name} layer", inputs[name], net[f"{name}.bias"]) for name in ("embed", "second", "out") if name in inputs
    ]
    around = inputs.get("around", 0)
    for phase, bias in enumerate(net["first.bias"]):
        seen = around + inputs.get(f"own.{phase}", 0) + inputs.get(f"rough.{phase}", 0)
        layers.append((f"first layer in phase {phase}", seen, bias))
    for name, weights, bias in layers:
        largest = int((MAX_INPUT * weights + abs(bias)).max())
        require(largest <= bound, "model", f"Group {group}: a sum of the {name} may reach {largest}, above {bound}.")


def read_context(settings: Any, tensors: Tensors, K: int, m: int, table_bits: int, scale: float) -> Context:
    """The context prior of a model with d_star 2, beta 1, depth 2 and m units, of which all are wide; checked."""
    groups, patterns, starts = settings["groups"], settings["patterns"], settings["starts"]
    E, H, bound = settings["embed"], settings["hidden"], settings["bound"]
    whole = all(type(number) is int for number in (*groups, *starts, E, H, bound))
    sized = whole and 1 <= E <= MAX_SIZE and 1 <= H <= MAX_SIZE and bound >= 0
    require(sized, "model", f"The model's context settings are not whole numbers of 1..{MAX_SIZE}.")
    even = all(n >= 2 and n % 2 == 0 for n in groups) and sum(groups) == 2 * m
    require(even, "model", f"The model's groups {groups} are not even numbers that sum to {2 * m}.")
    fits = len(groups) == len(patterns) == len(starts) and set(patterns) <= set(PATTERNS)
    fits = fits and min(starts) >= 0 and max(starts) <= MAX_SIZE
    require(fits, "model", f"The model's patterns {patterns} or starts {starts} do not fit its {len(groups)} groups.")
    few = all(n <= MAX_LINEAR for n, pattern in zip(groups, patterns, strict=True) if pattern in LINEAR)
    require(few, "model", f"The model's groups {groups} have more than {MAX_LINEAR} channels predicted linearly.")
    require(bound <= MAX_BOUND, "model", f"The model's bound = {bound} is above 2^22.")
    fits = type(scale) in (int, float) and 1 <= scale <= MAX_SCALE and scale == int(scale)
    require(fits, "model", f"The model's scale = {scale} is not a whole number in 1..{MAX_SCALE}.")
    codebook16 = take_tensor(tensors, "context.codebook16", "int16", (K, 2))
    zeros = np.flatnonzero((codebook16 == 0).all(axis=1))
    require(len(zeros) > 0, "model", "The model has no codevector (0, 0).")
    spread = take_tensor(tensors, "context.unit", "int32", (None, 2 * m))
    require(int(spread.min()) >= 1, "model", "The model's context.unit has an entry below 1.")
    tables = take_tensor(tensors, "context.tables", "uint32", (None, K))
    count = check_tables("context.tables", tables, K, table_bits)
    coarse_map = take_tensor(tensors, "context.coarse_map", "uint16", (None, None))
    fine_map = take_tensor(tensors, "context.fine_map", "uint16", (len(coarse_map), len(coarse_map), 2))
    fits = coarse_map.shape == fine_map.shape[:2] and len(coarse_map) <= MAX_LEVELS
    require(fits, "model", f"The model's context.coarse_map is not square, or larger than {MAX_LEVELS}.")
    named = max(int(fine_map.max()), int(coarse_map[coarse_map != NO_COARSE].max(initial=0)))
    require(named < count, "model", f"The model's context maps name table {named} of {count}.")
    nets = []
    for group in range(len(groups)):
        wanted = net_tensors(group, groups, patterns[group], settings.get("masking", False), len(spread), E, H)
        nets.append({name: take_tensor(tensors, f"context.{group}.{name}", *wanted[name]) for name in wanted})
        check_net(group, nets[-1], bound)
    return Context(
        tuple(groups),
        tuple(patterns),
        tuple(starts),
        int(scale),
        int(zeros[0]),
        table_bits,
        codebook16,
        spread,
        fine_map,
        coarse_map,
        tables,
        tuple(nets),
    )


# Arithmetic, section 5.5. All arrays are int64.


@dataclass(frozen=True)
class Known:
    """What is known of a tile while a group is decoded."""

    e: Integers  # [h, w, E], the embedding of earlier groups
    x: Integers  # [h, w, n], the group's inputs
    y16: Integers  # [h, w, n], the group's latents in sixteenths


def network_input(y16: Integers, spread: Integers) -> Integers:
    """x of latents y16 [.., n] in sixteenths: divided by the spread of their channel, 16 to 1."""
    return ((32 * y16 + spread) // (2 * spread)).clip(-MAX_INPUT, MAX_INPUT)


def activate(sums: Integers, shift: Integers) -> Integers:
    """act: sums [.., n] rounded to multiples of 2^shift and cut to 0..127."""
    return ((sums + ((1 << shift) >> 1)) >> shift).clip(0, MAX_INPUT)


def mean_of(out: Integers, spread: Integers, shift: Integers, linear: Integers | int) -> Integers:
    """mean16 out of sums [.., n] of the last layer and the linear prediction."""
    return (((out * spread + (1 << (shift + 3))) >> (shift + 4)) + linear).clip(-32768, 32767)


def deviation_class(out: Integers, shift: Integers, count: int) -> Integers:
    """Levels 0..S-1 out of sums [.., n] of the last layer."""
    return ((out + (1 << (shift + 3))) >> (shift + 4)).clip(0, count - 1)


def predict_linear(
    y16: Integers, places: tuple[Integers, Integers], offsets: Sequence[Offset], weight: Integers
) -> tuple[Integers, Integers]:
    """lin [N, n] and rough [N, n] out of the latents y16 [h, w, n] around places."""
    h, w, n = y16.shape
    inside = gather(np.ones((h, w, 1), np.int64), places, offsets)[:, :, None]
    near = gather(y16, places, offsets).reshape(len(inside), len(offsets), n)
    count = inside.sum(axis=1)
    mean = (2 * near.sum(axis=1) + count) // (2 * count)
    filled = np.where(inside > 0, near, mean[:, None]).reshape(len(inside), -1)
    lin = (filled @ weight + 2048) >> 12
    distance = (inside * abs(near - lin[:, None])).sum(axis=1)
    return lin, ((2 * distance + count) // (2 * count)).clip(0, MAX_INPUT)


def predict(
    context: Context, group: int, phase: int, row: int, places: tuple[Integers, Integers], known: Known
) -> tuple[Integers, Integers | int]:
    """o [N, 2n] and lin [N, n] at the N places of a phase."""
    net, pattern = context.nets[group], PATTERNS[context.patterns[group]]
    offsets = pattern.phases[phase].offsets
    lin: Integers | int = 0
    first = net["first.bias"][phase, row][None].repeat(len(places[0]), axis=0)
    if group > 0:
        first = first + gather(known.e, places, AROUND) @ net["around.weight"]
    if phase > 0:
        first = first + gather(known.x, places, offsets) @ net[f"own.{phase}.weight"]
    if phase > 0 and context.patterns[group] in LINEAR:
        lin, rough = predict_linear(known.y16, places, offsets, net[f"linear.{phase}.weight"])
        first = first + rough @ net[f"rough.{phase}.weight"]
    hidden = activate(first, net["first.shift"])
    hidden = activate(hidden @ net["second.weight"] + net["second.bias"], net["second.shift"])
    return hidden @ net["out.weight"] + net["out.bias"][row], lin


# Order of decoding, sections 5.4, 5.6 and 5.7


def tables_of(context: Context, adaptive: bool) -> ModelTables:
    """The tables that a tile begins with."""
    if not adaptive:
        return ModelTables(context.tables, context.table_bits)
    maps = np.where(context.coarse_map == NO_COARSE, -1, context.coarse_map), context.fine_map
    return AdaptiveTables(context.tables, context.table_bits, context.codebook16, maps, context.zero)


def decode_context(rans: Rans, context: Context, row: int, size: tuple[int, int], adaptive: bool = False) -> Indices:
    """uint16 [2m, h, w], the indices of a tile: the coarse ones of all units, then the fine ones."""
    m, (rows, columns) = context.spread.shape[1] // 2, size
    stream = Stream(rans, tables_of(context, adaptive))
    x = np.zeros((rows, columns, 2 * m), np.int64)
    indices = np.full((2 * m, rows, columns), context.zero, np.uint16)
    start = 0
    for group, n in enumerate(context.groups):
        end = start + n
        if context.starts[group] <= row:
            stream.tables.begin_group()
            decode_group(stream, context, group, row, slice(start, end), x, indices)
        start = end
    return indices


def decode_group(
    stream: Stream, context: Context, group: int, row: int, channels: slice, x: Integers, indices: Indices
) -> None:
    """Write a group's indices, and its part of x [h, w, 2m]."""
    net, pattern, m = context.nets[group], PATTERNS[context.patterns[group]], len(indices) // 2
    spread, units, n = (
        context.spread[row, channels],
        slice(channels.start // 2, channels.stop // 2),
        context.groups[group],
    )
    e = np.zeros((*x.shape[:2], 0), np.int64)
    if group > 0:
        e = activate(x[:, :, : channels.start] @ net["embed.weight"] + net["embed.bias"], net["embed.shift"])
    known = Known(e, x[:, :, channels], np.zeros((*x.shape[:2], n), np.int64))
    for phase in range(len(pattern.phases)):
        places = places_of(pattern, phase, *x.shape[:2])
        if len(places[0]) == 0:
            continue
        out, lin = predict(context, group, phase, row, places, known)
        mean16 = mean_of(out[:, :n], spread, net["out.shift"][:n], lin)
        classes = deviation_class(out[:, n:], net["out.shift"][n:], len(context.coarse_map))
        k = np.zeros(len(classes), np.int64)
        if "masking" in net:
            k = finer_steps(classes, int(net["masking"][phase, row]))
            mean16 = rescale(mean16, k)
            classes = (classes + k[:, None]).clip(0, len(context.coarse_map) - 1)
        i, j = classes[:, 0::2], classes[:, 1::2]
        coarse_tables = context.coarse_map[i, j]
        coarse = stream.units(coarse_tables, coarse_tables != NO_COARSE, context.zero)
        fine_tables = context.fine_map[i, j, (coarse != context.zero).astype(np.int64)]
        fine = stream.units(fine_tables, np.ones(fine_tables.shape, np.bool_), context.zero)
        stream.tables.learn(i, j, coarse, fine)
        vectors = context.scale * context.codebook16[coarse] + context.codebook16[fine]
        known.y16[places] = rescale(mean16 + vectors.reshape(mean16.shape), -k)
        known.x[places] = network_input(known.y16[places], spread)
        indices[:m][(units, *places)] = coarse.T
        indices[m:][(units, *places)] = fine.T
