"""Writes the test vectors under bitstream/vectors/: tiny models, good files with their indices, bad files.

    python bitstream/make_vectors.py

Everything is drawn from fixed seeds. Good files are made by the `vqcodec` package; bad ones are
good ones with one fault each, most of them with a correct checksum, so that the fault itself must
be noticed. `vectors.json` lists them; FORMAT.md section 7 explains the names of the faults.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from bad_vectors import bad_files

from vqcodec import model_file
from vqcodec.bitstream import container
from vqcodec.bitstream.container import ICC_PROFILE, INDICES, Section
from vqcodec.bitstream.header import Header

FOLDER: Final = Path(__file__).parent / "vectors"
PROFILE: Final = b"not a real ICC profile"

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ModelPlan:
    """The shape of one tiny model: T tables, R rows of qualities, C classes."""

    name: str
    quantizer: dict[str, Any]
    table_bits: int
    tables: int
    rows: int
    classes: int = 1
    stride: int = 16


@dataclass(frozen=True)
class FilePlan:
    """One good file: its model, size in pixels, quality and what is special about it."""

    name: str
    model: str
    width: int
    height: int
    quality: float
    about: str
    zeros: bool = False
    extra: tuple[Section, ...] = ()
    extra_first: bool = False


def quantizer(K: int, m: int, d_star: int, **others: Any) -> dict[str, Any]:
    """The quantizer settings of a model, with defaults for what `others` does not name."""
    values = {"name": "looc", "K": K, "m": m, "d_star": d_star, "beta": 1, "mode": "all", "depth": 1, "wide": 0}
    return values | {"scale": 12.0} | others


MODELS: Final = (
    ModelPlan("plain", quantizer(16, 4, 2), table_bits=12, tables=3, rows=1),
    ModelPlan("wide", quantizer(32, 3, 2, depth=2, wide=2), table_bits=20, tables=5, rows=4, classes=3),
    ModelPlan("all", quantizer(10, 2, 2, beta=2), table_bits=8, tables=2, rows=2, stride=8),
    ModelPlan("conditional", quantizer(12, 2, 4, beta=3, mode="conditional"), 24, tables=6, rows=2, classes=2),
    ModelPlan("smooth", quantizer(300, 1, 1, beta=2, mode="smooth"), table_bits=16, tables=2, rows=1),
)

ICC: Final = Section(ICC_PROFILE, zlib.compress(PROFILE, 9))
UNKNOWN: Final = (Section(0x90, b"skip me"), Section(0xFF, b""), Section(0x90, b"and me"))
FILES: Final = (
    FilePlan("plain", "plain", 40, 33, 50, "one row of tables, no classes"),
    FilePlan("plain_1x1", "plain", 1, 1, 1, "the smallest picture and the lowest quality"),
    FilePlan("plain_zeros", "plain", 16, 16, 100, "every index is 0: the stream is empty", zeros=True),
    FilePlan("plain_icc", "plain", 50, 40, 50, "with an ICC profile", extra=(ICC,)),
    FilePlan("plain_icc_first", "plain", 50, 40, 50, "sections in the other order", extra=(ICC,), extra_first=True),
    FilePlan("plain_unknown", "plain", 20, 20, 75.5, "unknown optional sections are skipped", extra=UNKNOWN),
    FilePlan("wide_low", "wide", 100, 70, 1, "depth 2, three classes, first row"),
    FilePlan("wide_mid", "wide", 70, 100, 37.5, "depth 2, three classes, a row between"),
    FilePlan("wide_high", "wide", 300, 5, 100, "depth 2, three classes, last row; two bytes of width"),
    FilePlan("all", "all", 50, 35, 50.5, "beta 2, all indices stored, K is no power of two, 8-bit tables"),
    FilePlan("conditional", "conditional", 90, 50, 20, "beta 3, two passes, two classes, 24-bit tables"),
    FilePlan("conditional_1x1", "conditional", 1, 1, 99.5, "beta 3, one base index"),
    FilePlan("smooth", "smooth", 128, 129, 60, "beta 2, interpolated: as many indices as latents; K above 256"),
)


def draw_tables(rng: np.random.Generator, tables: int, symbols: int, bits: int) -> npt.NDArray[np.uint32]:
    """Random frequencies [tables, symbols] of at least 1 whose rows sum to 2^bits; the last is as skewed as can be."""
    weights = rng.random((tables, symbols)) ** 6
    weights[-1] = 0
    weights[-1, -1] = 1
    spare = (1 << bits) - symbols
    frequencies = np.floor(weights / weights.sum(axis=1, keepdims=True) * spare).astype(np.int64) + 1
    frequencies[:, 0] += (1 << bits) - frequencies.sum(axis=1)
    integers: npt.NDArray[np.uint32] = frequencies.astype(np.uint32)
    return integers


def make_model(plan: ModelPlan) -> tuple[model_file.Metadata, model_file.Arrays]:
    """A model with random tables, random maps and a random codebook, and no network."""
    rng = np.random.default_rng(list(plan.name.encode()))
    K, planes, C = plan.quantizer["K"], plan.quantizer["m"] + plan.quantizer["wide"], plan.classes
    arrays: model_file.Arrays = {
        "codebook": rng.random((K, plan.quantizer["d_star"])).astype(np.float32),
        "tables": draw_tables(rng, plan.tables, K, plan.table_bits),
        "table_map": rng.integers(0, plan.tables, (plan.rows, C, planes)).astype(np.uint16),
    }
    if plan.quantizer["mode"] == "conditional":
        arrays["conditional_map"] = rng.integers(0, plan.tables, K).astype(np.uint16)
    if C > 1:
        arrays["class_tables"] = draw_tables(rng, 4, C, plan.table_bits)
        arrays["class_map"] = rng.integers(0, 4, (plan.rows, C + 1, C + 1)).astype(np.uint16)
    metadata = model_file.Metadata(plan.name, {"name": "none"}, plan.stride, plan.quantizer, plan.table_bits)
    return metadata, arrays


def draw_indices(rng: np.random.Generator, arrays: model_file.Arrays, row: int, shape: tuple[int, ...]) -> Integers:
    """Indices [P, h', w'], each plane's distributed like the table of its first class."""
    tables = np.cumsum(arrays["tables"][arrays["table_map"][row, 0]], axis=1, dtype=np.int64)
    uniform = rng.random(shape)
    planes = [np.searchsorted(table, u * table[-1], side="right") for table, u in zip(tables, uniform, strict=True)]
    return np.stack(planes)


def make_file(
    plan: FilePlan, metadata: model_file.Metadata, arrays: model_file.Arrays
) -> tuple[bytes, npt.NDArray[np.uint16]]:
    """One good file and the indices in it."""
    rng = np.random.default_rng(list(plan.name.encode()))
    prior = model_file.make_prior(metadata, arrays)
    grid = (-(-plan.height // metadata.stride), -(-plan.width // metadata.stride))
    shape = (arrays["table_map"].shape[2], grid[0] * metadata.factor, grid[1] * metadata.factor)
    indices = draw_indices(rng, arrays, prior.row(plan.quality), shape) * (not plan.zeros)
    classes = rng.integers(0, prior.classes, grid)
    names = ("K", "m", "d_star", "beta", "mode", "depth")
    header = Header(
        fingerprint=bytes.fromhex(model_file.fingerprint(metadata, arrays)),
        width=plan.width,
        height=plan.height,
        quality=plan.quality,
        prior="static",
        index_crc=zlib.crc32(indices.astype("<u2").tobytes()),
        **{name: metadata.quantizer[name] for name in names},
    )
    coded = [Section(INDICES, prior.encode(indices, classes, plan.quality))]
    sections = [*plan.extra, *coded] if plan.extra_first else [*coded, *plan.extra]
    return container.write_sections(header, sections), indices.astype(np.uint16)


def main() -> None:
    """Write all vectors and their list."""
    for folder in ("models", "good", "bad"):
        (FOLDER / folder).mkdir(parents=True, exist_ok=True)
        for old in (FOLDER / folder).iterdir():
            old.unlink()
    models = {plan.name: make_model(plan) for plan in MODELS}
    for name, (metadata, arrays) in models.items():
        (FOLDER / "models" / f"{name}.safetensors").write_bytes(model_file.to_bytes(metadata, arrays))
    good, bad, files = [], [], {}
    for plan in FILES:
        files[plan.name], indices = make_file(plan, *models[plan.model])
        (FOLDER / "good" / f"{plan.name}.vqc").write_bytes(files[plan.name])
        np.save(FOLDER / "good" / f"{plan.name}.npy", indices.astype("<u2"))
        good.append({"file": f"good/{plan.name}.vqc", "model": plan.model, "about": plan.about})
    for fault in bad_files(files):
        (FOLDER / "bad" / f"{fault.name}.vqc").write_bytes(fault.data)
        bad.append({"file": f"bad/{fault.name}.vqc", "model": fault.model, "fault": fault.cause, "about": fault.about})
    (FOLDER / "vectors.json").write_text(json.dumps({"good": good, "bad": bad}, indent=1) + "\n")


if __name__ == "__main__":
    main()
