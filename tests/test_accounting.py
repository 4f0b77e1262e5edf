"""The arithmetic behind `vqc info`."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

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
GOOD = json.loads((VECTORS / "vectors.json").read_text())["good"]
HEADER = Header(bytes(8), 768, 512, 256, 160, 2, 1, "all", 1, 50, "static", 0)


def vector(name: str) -> tuple[Container, model_file.Metadata, Prior]:
    """A parsed test vector with its model."""
    entry = next(entry for entry in GOOD if Path(entry["file"]).stem == name)
    model = VECTORS / "models" / f"{entry['model']}.safetensors"
    return container.read((VECTORS / entry["file"]).read_bytes()), *model_file.load_prior(model)


def test_codebook_bits() -> None:
    assert storage.codebook_storage(HEADER) == storage.CodebookStorage(32 * 256 * 320, 32 * 256 * 2)


def test_plain_vq_shares_nothing() -> None:
    bits = storage.codebook_storage(replace(HEADER, m=1, d_star=64))
    assert bits.vq_bits == bits.shared_bits == 32 * 256 * 64


def test_codebooks_of_their_own_cost_as_much_as_a_plain_one() -> None:
    bits = storage.codebook_storage(replace(HEADER, layout="own", m=4, d_star=16, depth=1))
    assert bits.vq_bits == bits.shared_bits == 32 * 256 * 64


@pytest.mark.parametrize("entry", GOOD, ids=lambda entry: Path(entry["file"]).stem)
def test_index_bits(entry: dict[str, str]) -> None:
    parsed, metadata, prior = vector(Path(entry["file"]).stem)
    header, indices = parsed.header, storage.index_storage(parsed, metadata, prior)
    assert (indices.h, indices.w) == (-(-header.height // metadata.stride), -(-header.width // metadata.stride))
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
