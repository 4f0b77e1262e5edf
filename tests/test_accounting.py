"""The arithmetic behind `vqc info`."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vqcodec.errors import FormatError, ModelError
from vqcodec.exact import accounting as storage
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.container import Container
from vqcodec.exact.bitstream.header import Header
from vqcodec.exact.bitstream.sections import INDICES, Section
from vqcodec.exact.priors import Prior
from vqcodec.exact.tiles import tiles_of

VECTORS = Path(__file__).parent.parent / "bitstream" / "vectors"
GOOD = [
    entry
    for entry in json.loads((VECTORS / "vectors.json").read_text())["good"]
    if container.read((VECTORS / entry["file"]).read_bytes()).pixels is None
]
"""The good files that have indices."""
HEADER = Header(bytes(8), 768, 512, 256, 160, 2, 1, "all", 1, 50, "static", 0)


def vector(name: str) -> tuple[Container, model_file.Metadata, Prior]:
    """A parsed test vector with its model."""
    entry = next(entry for entry in GOOD if Path(entry["file"]).stem == name)
    model = VECTORS / "models" / f"{entry['model']}.safetensors"
    return container.read((VECTORS / entry["file"]).read_bytes()), *model_file.load_prior(model)


@pytest.mark.parametrize(
    ("name", "changes", "books", "bits", "formula", "capacity_bits"),
    [
        ("looc", {}, 1, 32 * 256 * 2, "32 K d*", 8 * 160),
        ("vq", {"m": 1, "d_star": 64}, 1, 32 * 256 * 64, "32 K d", 8),
        ("cvq", {"m": 1, "d_star": 64}, 1, 32 * 256 * 64, "32 K d", 8),
        ("pq", {"layout": "own", "m": 4, "d_star": 16}, 4, 32 * 256 * 64, "32 m K d*", 32),
        ("dual", {"layout": "own", "m": 2, "d_star": 32}, 2, 32 * 256 * 64, "32 m K d*", 16),
        ("rq", {"layout": "stages", "m": 1, "d_star": 64, "depth": 4}, 1, 32 * 256 * 64, "32 K d", 32),
        ("fsq", {"m": 1, "d_star": 4}, 0, 0, "0", 8),
        ("lfq", {"m": 1, "d_star": 8}, 0, 0, "0", 8),
        (None, {"m": 1, "d_star": 8}, 1, 32 * 256 * 8, "32 K d", 8),
    ],
)
def test_codebooks(
    name: str | None, changes: dict[str, Any], books: int, bits: int, formula: str, capacity_bits: float
) -> None:
    header = replace(HEADER, **changes)
    found = storage.codebook_storage(header, name)
    assert (found.books, found.bits, found.formula, found.capacity_bits) == (books, bits, formula, capacity_bits)
    assert found.vq_bits == 32 * 256 * header.m * header.d_star
    assert found.equal_K ** (capacity_bits / 8) == pytest.approx(256)


@pytest.mark.parametrize("entry", GOOD, ids=lambda entry: Path(entry["file"]).stem)
def test_multiplications_are_those_of_the_search(entry: dict[str, str]) -> None:
    parsed, metadata, _ = vector(Path(entry["file"]).stem)
    header, found = parsed.header, storage.index_storage(parsed, metadata, None)
    # Each of the indices that papers count compares K codevectors of d* values.
    stages, units = (header.depth, 1) if header.layout == "stages" else (1, header.m)
    searched = 1 if header.mode == "smooth" else header.beta
    per_latent = stages * units * header.K * header.d_star
    assert found.multiplications == searched**2 * found.h * found.w * per_latent
    shrunk = found.equal_multiplications / found.multiplications * header.K
    assert shrunk ** (stages * units) == pytest.approx(header.K)


@pytest.mark.parametrize("entry", GOOD, ids=lambda entry: Path(entry["file"]).stem)
def test_index_bits(entry: dict[str, str]) -> None:
    parsed, metadata, prior = vector(Path(entry["file"]).stem)
    header, indices = parsed.header, storage.index_storage(parsed, metadata, prior)
    side = metadata.stride * (2 if parsed.is_halved else 1)
    assert (indices.h, indices.w) == (-(-header.height // side), -(-header.width // side))
    counted = header.depth if header.layout == "stages" else header.m
    assert indices.paper_bits == pytest.approx(indices.h * indices.w * counted * math.log2(header.K))
    factor = 1 if header.mode == "smooth" else header.beta
    assert indices.decoder_bits == pytest.approx(factor**2 * indices.paper_bits)
    assert indices.fixed_bits == pytest.approx(indices.decoder_bits * indices.planes / counted)
    assert 0 <= indices.class_bits <= indices.entropy_bits
    tiles = len(tiles_of((indices.h, indices.w), header.tile))
    table_bits = 8 * (2 + 4) * tiles if header.tile else 0  # lengths and checksums
    assert indices.entropy_bits - 64 * tiles <= 8 * len(parsed.indices)
    assert 8 * len(parsed.indices) <= indices.entropy_bits * 1.01 + 64 * tiles + table_bits


@pytest.mark.parametrize("entry", GOOD, ids=lambda entry: Path(entry["file"]).stem)
def test_sections_add_up_to_the_file(entry: dict[str, str]) -> None:
    data = (VECTORS / entry["file"]).read_bytes()
    parts = storage.section_bytes(container.read(data))
    assert sum(parts.values()) == len(data)
    assert parts["checksum"] == 4
    assert min(parts.values()) > 0


def test_sections_that_are_not_known_are_counted() -> None:
    sections = [Section(INDICES, b"abc"), Section(0xF0, bytes(200))]
    parts = storage.section_bytes(container.read(container.write_sections(HEADER, sections)))
    assert parts == {"header": len(HEADER.pack()), "indices": 5, "checksum": 4, "unknown sections": 203}


def test_figures_without_the_model() -> None:
    parsed, _, _ = vector("plain")
    facts = storage.analyze(parsed, None, None)
    assert facts["model"] is facts["quantizer"] is facts["indices"] is None
    assert facts["layout"] == "shared"
    assert facts["K"] == parsed.header.K
    assert facts["bpp"] == 8 * facts["bytes"] / (facts["width"] * facts["height"])


def test_damage_and_other_models_are_errors() -> None:
    parsed, metadata, prior = vector("plain")
    with pytest.raises(ModelError, match="name the right one with --model"):
        storage.analyze(parsed, *vector("wide_mid")[1:])
    for field, value in (("K", 512), ("m", 9), ("index_crc", 1)):
        header = replace(parsed.header, **{field: value})  # type: ignore[arg-type]
        with pytest.raises(FormatError):
            storage.analyze(replace(parsed, header=header), metadata, prior)
