"""Tiny models with random tables, maps and integer networks, and pictures drawn at random from them.

For the test vectors and the tests. They have no network that makes pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vqcodec.exact import model_file
from vqcodec.exact.model_file import Arrays, Metadata
from vqcodec.exact.priors import ContextPrior, StaticPrior, passes
from vqcodec.exact.priors.context import NO_COARSE, PREFIX
from vqcodec.exact.priors.integer_net import BOUND, SHIFT_MAX, SIXTEENTHS, WEIGHT_MAX
from vqcodec.exact.priors.linear import WEIGHT_BITS
from vqcodec.exact.priors.tables import Choice

Integers = npt.NDArray[np.int64]
Tables = npt.NDArray[np.uint32]

WEIGHT_DEVIATION: Final = 45  # of the weights of a random network
LINEAR_ONE: Final = 1 << WEIGHT_BITS  # what stands for 1 in the weights of linear predictions
TYPICAL_INPUT: Final = 45  # of what its layers see; shifts bring its sums back to this


@dataclass(frozen=True)
class ModelPlan:
    """The shape of one tiny model with a static prior: T tables, R rows of qualities, C classes."""

    name: str
    quantizer: dict[str, Any]
    table_bits: int
    tables: int
    rows: int
    classes: int = 1
    stride: int = 16
    own_codebooks: bool = False


@dataclass(frozen=True)
class ContextPlan:
    """The shape of one tiny model with a context prior; `zeros` are the codevectors that are (0, 0).

    Without `patterns` and `starts` the groups have their usual patterns, and all qualities code all of them.
    """

    name: str
    groups: tuple[int, ...] = (2, 4)
    K: int = 16
    embed: int = 4
    hidden: int = 8
    rows: int = 3
    deviation_classes: int = 9
    tables: int = 12
    table_bits: int = 14
    stride: int = 16
    scale: float = 14.0
    zeros: tuple[int, ...] = (5,)
    patterns: tuple[str, ...] = ()
    starts: tuple[int, ...] = ()
    masking: bool = False


Plan = ModelPlan | ContextPlan


def quantizer(K: int, m: int, d_star: int, **others: Any) -> dict[str, Any]:
    """The quantizer settings of a model, with defaults for what `others` does not name."""
    values = {"name": "looc", "K": K, "m": m, "d_star": d_star, "beta": 1, "mode": "all", "depth": 1, "wide": 0}
    return values | {"scale": 12.0} | others


def make_model(plan: Plan, base: Metadata | None = None) -> tuple[Metadata, Arrays]:
    """A model with random tables, random maps and a random codebook; its network is that of `base`, or none."""
    rng = np.random.default_rng(list(plan.name.encode()))
    base = base or Metadata(plan.name, {"name": "none"}, plan.stride, {}, plan.table_bits)
    base = replace(base, table_bits=plan.table_bits, prior="static", prior_settings={})
    return _make_static(plan, base, rng) if isinstance(plan, ModelPlan) else _make_context(plan, base, rng)


def draw_tables(rng: np.random.Generator, tables: int, symbols: int, bits: int) -> Tables:
    """Random frequencies [tables, symbols] of at least 1 whose rows sum to 2^bits; the last is as skewed as can be."""
    weights = rng.random((tables, symbols)) ** 6
    weights[-1] = 0
    weights[-1, -1] = 1
    spare = (1 << bits) - symbols
    frequencies = np.floor(weights / weights.sum(axis=1, keepdims=True) * spare).astype(np.int64) + 1
    frequencies[:, 0] += (1 << bits) - frequencies.sum(axis=1)
    integers: Tables = frequencies.astype(np.uint32)
    return integers


def draw_static(rng: np.random.Generator, prior: StaticPrior, grid: tuple[int, int], quality: float) -> Choice:
    """Indices, each plane's distributed like the table of its first class, and classes for a latent grid."""
    tables = np.cumsum(prior.tables[prior.table_map[prior.row(quality), 0]], axis=1, dtype=np.int64)
    uniform = rng.random((prior.planes, grid[0] * prior.factor, grid[1] * prior.factor))
    planes = [np.searchsorted(table, u * table[-1], side="right") for table, u in zip(tables, uniform, strict=True)]
    classes = rng.integers(0, prior.classes, grid)
    indices = np.stack(planes).astype(np.uint16)
    return Choice(indices, classes.astype(np.uint8), indices)


def draw_context(rng: np.random.Generator, prior: ContextPrior, grid: tuple[int, int], quality: float) -> Choice:
    """Indices distributed like the very tables that code them, with their classes and latents, for a latent grid."""
    walk = prior.walk(grid, quality)
    for step in walk.steps():
        prediction = walk.predict(step)
        coarse_tables, wide = prior.coarse_tables(prediction.deviation_class)
        coarse = np.full(len(wide), prior.zero)
        coarse[wide] = draw_symbols(rng, prior.tables.frequencies[coarse_tables])
        fine = draw_symbols(rng, prior.tables.frequencies[prior.fine_tables(prediction.deviation_class, coarse)])
        walk.put(step, prediction, coarse, fine)
    return walk.result()


def draw_symbols(rng: np.random.Generator, frequencies: npt.NDArray[Any]) -> Integers:
    """One symbol for each row of frequencies [N, symbols]."""
    below = np.cumsum(frequencies, axis=1, dtype=np.int64)
    symbols: Integers = (below <= rng.random((len(below), 1)) * below[:, -1:]).sum(axis=1)
    return symbols


def _make_static(plan: ModelPlan, base: Metadata, rng: np.random.Generator) -> tuple[Metadata, Arrays]:
    base = replace(base, quantizer=plan.quantizer, own_codebooks=plan.own_codebooks)
    K, planes, C = plan.quantizer["K"], base.planes, plan.classes
    books = (plan.quantizer["m"],) if plan.own_codebooks else ()
    arrays: Arrays = {
        "codebook": rng.random((*books, K, plan.quantizer["d_star"])).astype(np.float32),
        "tables": draw_tables(rng, plan.tables, K, plan.table_bits),
        "table_map": rng.integers(0, plan.tables, (plan.rows, C, planes)).astype(np.uint16),
    }
    if plan.quantizer["mode"] == "conditional":
        arrays["conditional_map"] = rng.integers(0, plan.tables, K).astype(np.uint16)
    if C > 1:
        arrays["class_tables"] = draw_tables(rng, 4, C, plan.table_bits)
        arrays["class_map"] = rng.integers(0, 4, (plan.rows, C + 1, C + 1)).astype(np.uint16)
    return base, arrays


def _make_context(plan: ContextPlan, base: Metadata, rng: np.random.Generator) -> tuple[Metadata, Arrays]:
    m, S = sum(plan.groups) // 2, plan.deviation_classes
    codebook = rng.integers(-40, 41, (plan.K, 2)).astype(np.int16)
    codebook[~codebook.any(axis=1)] = 1
    codebook[list(plan.zeros)] = 0
    coarse_map = rng.integers(0, plan.tables, (S, S)).astype(np.uint16)
    coarse_map[rng.random((S, S)) < 0.5] = NO_COARSE
    tensors: Arrays = {
        "codebook16": codebook,
        "unit": rng.integers(8, 200, (plan.rows, 2 * m)).astype(np.int32),
        "fine_map": rng.integers(0, plan.tables, (S, S, 2)).astype(np.uint16),
        "coarse_map": coarse_map,
        "tables": draw_tables(rng, plan.tables, plan.K, plan.table_bits),
    }
    patterns = plan.patterns or passes.default_patterns(len(plan.groups))
    starts = plan.starts or (0,) * len(plan.groups)
    for group in passes.make_groups(plan.groups, patterns, starts):
        tensors |= {f"{group.number}.{name}": tensor for name, tensor in _draw_group(rng, plan, group).items()}
    arrays = {PREFIX + name: tensor for name, tensor in tensors.items()}
    arrays["codebook"] = (codebook / SIXTEENTHS).astype(np.float32)
    settings = {"groups": list(plan.groups), "patterns": list(patterns), "starts": list(starts)}
    settings |= {"masking": True} if plan.masking else {}
    settings |= {"embed": plan.embed, "hidden": plan.hidden, "bound": BOUND}
    values = quantizer(plan.K, m, 2, depth=2, wide=m, scale=plan.scale)
    metadata = replace(base, quantizer=values, prior="context", prior_settings=settings)
    prior = model_file.make_prior(metadata, arrays)
    assert isinstance(prior, ContextPrior)
    return replace(metadata, prior_settings=settings | {"bound": prior.bound}), arrays


def _draw_group(rng: np.random.Generator, plan: ContextPlan, group: passes.Group) -> Arrays:
    """The tensors of one group's networks: activations, means and deviation classes use the whole of their ranges."""
    n, E, H, R, phases = group.n, plan.embed, plan.hidden, plan.rows, group.pattern.phases
    seeing = [(p, len(phase.offsets)) for p, phase in enumerate(phases) if phase.offsets]
    shapes = {f"own.{p}.weight": (count * n, H) for p, count in seeing}
    shapes |= {f"rough.{p}.weight": (n, H) for p, _ in seeing if group.pattern.linear}
    shapes |= {"around.weight": (len(passes.AROUND) * E, H)} if group.number else {}
    tensors: Arrays = {name: _draw_weight(rng, shape) for name, shape in shapes.items()}
    spread = _spread([tensors[name] for name in tensors])
    tensors |= _draw_hidden(rng, "first", spread, (len(phases), R, H))
    tensors["second.weight"] = _draw_weight(rng, (H, H))
    tensors |= _draw_hidden(rng, "second", _spread([tensors["second.weight"]]), (H,))
    tensors["out.weight"] = _draw_weight(rng, (H, 2 * n))
    spread = _spread([tensors["out.weight"]])
    spread[n:] *= 5 / plan.deviation_classes
    shift = np.log2(spread / 16).round().clip(0, SHIFT_MAX)
    middle = np.where(np.arange(2 * n) < n, 0, 16 * 2**shift * plan.deviation_classes / 2.5)
    tensors["out.bias"] = (middle + rng.normal(0, 0.3, (R, 2 * n)) * spread).astype(np.int32)
    tensors["out.shift"] = shift.astype(np.uint8)
    if plan.masking and not group.pattern.linear:
        # The widest quarter of the classes lies above the middle.
        most = max(1, n // 4) * plan.deviation_classes
        tensors["masking"] = rng.integers(most // 2, most, (len(phases), R)).astype(np.int32)
    if group.pattern.linear:
        tensors |= {f"linear.{p}.weight": _draw_linear(rng, count, n) for p, count in seeing}
    if group.number:
        tensors["embed.weight"] = _draw_weight(rng, (group.before, E))
        tensors |= _draw_hidden(rng, "embed", _spread([tensors["embed.weight"]]), (E,))
    return tensors


def _draw_weight(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.int8]:
    weight: npt.NDArray[np.int8] = rng.normal(0, WEIGHT_DEVIATION, shape).clip(-WEIGHT_MAX, WEIGHT_MAX).astype(np.int8)
    return weight


def _draw_linear(rng: np.random.Generator, count: int, n: int) -> npt.NDArray[np.int16]:
    """Weights that predict about the mean of `count` neighbors; a few are as large as can be."""
    weight = np.tile(np.eye(n), (count, 1)) * LINEAR_ONE / count + rng.normal(0, LINEAR_ONE / 20, (count * n, n))
    weight[rng.random(weight.shape) < 0.01] = -(1 << 15)
    fixed: npt.NDArray[np.int16] = weight.astype(np.int16)
    return fixed


def _spread(weights: list[npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    """How far the sums of each output reach for typical inputs."""
    squares = np.square(np.concatenate(weights).astype(np.float64)).sum(axis=0)
    # An output may have drawn no weight but zero.
    spread: npt.NDArray[np.float64] = TYPICAL_INPUT * np.sqrt(squares.clip(1))
    return spread


def _draw_hidden(
    rng: np.random.Generator, name: str, spread: npt.NDArray[np.float64], shape: tuple[int, ...]
) -> Arrays:
    shift = np.log2(spread / TYPICAL_INPUT).round().clip(0, SHIFT_MAX)
    bias = rng.normal(0.4, 0.5, shape) * spread
    return {f"{name}.bias": bias.astype(np.int32), f"{name}.shift": shift.astype(np.uint8)}
