"""The reference decoder's context prior and tiles, against files made by hand and FORMAT.md's own numbers."""

from __future__ import annotations

import importlib
import zlib
from typing import Any

import numpy as np
import pytest
from context_by_hand import (
    Model,
    make_file,
    make_model,
    make_payload,
    phases_of,
    places_of,
    tile_sizes,
)
from context_files import ADAPTIVE, CONTEXT, cause_of, coded_file, encoded, joined

from vqcodec.exact import model_file
from vqcodec.exact.bitstream import rans
from vqcodec.exact.priors.adaptive import AdaptiveTables, Sharing
from vqcodec.exact.priors.tables import FrequencyTables

reference: Any = importlib.import_module("reference_decoder")
adaptive: Any = importlib.import_module("reference_adaptive")
context: Any = importlib.import_module("reference_context")
static: Any = importlib.import_module("reference_static")
maker: Any = importlib.import_module("make_vectors")

TILES = 8  # a tile code of 1 in the header byte


@pytest.mark.parametrize("name", ["deep", "fine", "coarse"])
def test_the_phases_are_those_of_the_text_and_look_only_back(name: str) -> None:
    phases = phases_of(name)
    pattern = context.PATTERNS[name]
    found = [(pattern.period, list(phase.cells), list(phase.offsets)) for phase in pattern.phases]
    assert found == [tuple(phase) for phase in phases]
    for h, w in ((1, 1), (1, 3), (4, 4), (5, 9), (17, 20)):
        known: set[tuple[int, int]] = set()
        for number, phase in enumerate(phases):
            places = places_of(phase, h, w)
            assert list(zip(*context.places_of(pattern, number, h, w), strict=True)) == places
            seen = {(y + dy, x + dx) for y, x in places for dy, dx in phase.offsets}
            assert {(y, x) for y, x in seen if 0 <= y < h and 0 <= x < w} <= known
            if number:
                assert all(any((y + dy, x + dx) in known for dy, dx in phase.offsets) for y, x in places)
            assert not known & set(places)
            known |= set(places)
        assert len(known) == h * w


def test_the_examples_of_the_text() -> None:
    one = np.array([1])
    assert np.array([3, -20, 127]) @ np.array([5, -7, 2]) + 100 == 509
    assert [int(context.activate(one * a, one * s)[0]) for a, s in ((509, 4), (-509, 4), (509, 0))] == [32, 0, 127]
    assert context.mean_of(one * -1000, one * 37, one * 6, 0) == -36
    assert [int(context.deviation_class(one * o, one * 6, 31)[0]) for o in (-1000, 9000)] == [0, 9]
    assert context.network_input(np.array([-73, -6]), np.array([37, 37])).tolist() == [-32, -3]


def test_the_example_of_tables_that_adapt() -> None:
    frequencies, vectors = np.array([[200, 40, 16]]), np.array([[0, 0], [5, 0], [-5, 0]])
    maps = np.full((1, 1), -1), np.zeros((1, 1, 2), np.int64)
    second = adaptive.AdaptiveTables(frequencies, 8, vectors, maps, 0)
    zeros, ones = np.zeros((10, 1), np.int64), np.ones((10, 1), np.int64)
    second.learn(zeros, zeros, zeros, ones)
    assert second.table(0, 4) == [0, 11570259, 14867953, 16777216]
    assert second.table(0, 3) == [0, 13107200, 15728640, 16777216]
    start = FrequencyTables("tables", frequencies.astype(np.uint32), 3, 8)
    ours = AdaptiveTables(Sharing.make(start, vectors.astype(np.int16), *reversed(maps)))
    ours.learn(np.zeros(10, np.int64), np.zeros(10, np.bool_), np.zeros(10, np.int64), np.ones(10, np.int64))
    costs = ours.costs_of(np.zeros(4, np.int64), np.array([0, 1, 2, 2]))
    np.testing.assert_allclose(2.0 ** (24 - costs[:3]), (11570259, 3297694, 1909263), rtol=1e-6)


@pytest.mark.parametrize("kind", [CONTEXT, ADAPTIVE])
@pytest.mark.parametrize("size", [(1, 1), (1, 3), (3, 1), (2, 2), (5, 6), (9, 7), (18, 10)], ids=str)
@pytest.mark.parametrize(("seed", "groups", "half_steps"), [(0, (2, 4), 100), (1, (6,), 2), (2, (2, 2, 4), 200)])
def test_what_was_encoded_by_hand_is_decoded(
    size: tuple[int, int], seed: int, groups: tuple[int, ...], half_steps: int, kind: int
) -> None:
    model = make_model(seed, groups, rows=1 + 2 * seed)
    data, indices = coded_file(model, *size, half_steps, kind=kind)
    np.testing.assert_array_equal(reference.decode(data, model.to_bytes()), indices)
    if size == (9, 7) and kind == CONTEXT:
        coarse = indices[: sum(groups) // 2]
        assert 0.05 < (coarse == 3).mean() < 0.95
        assert (coarse == 6).any()


@pytest.mark.parametrize("kind", [CONTEXT, ADAPTIVE])
@pytest.mark.parametrize("half_steps", [2, 100, 200])
@pytest.mark.parametrize("patterns", [("fine", "deep", "coarse"), ("coarse", "coarse", "fine")], ids=str)
def test_groups_that_some_qualities_do_not_code(patterns: tuple[str, ...], half_steps: int, kind: int) -> None:
    model = make_model(3, (2, 4, 2), rows=3, patterns=patterns, starts=(0, 2, 1))
    data, indices = coded_file(model, 7, 6, half_steps, kind=kind)
    np.testing.assert_array_equal(reference.decode(data, model.to_bytes()), indices)
    assert not (indices[5:7] != 3).any() or half_steps == 200  # the fine indices of the second group are ZERO


@pytest.mark.parametrize("kind", [CONTEXT, ADAPTIVE])
@pytest.mark.parametrize(("size", "code"), [((17, 35), 1), ((16, 16), 1), ((1, 33), 2), ((5, 4), 31)])
def test_tiles_of_a_context_prior(size: tuple[int, int], code: int, kind: int) -> None:
    model = make_model()
    data, indices = coded_file(model, *size, code=code, kind=kind)
    np.testing.assert_array_equal(reference.decode(data, model.to_bytes()), indices)


class Recorder:
    """Stands in for a rANS decoder: draws the symbols, and remembers what was drawn with which table."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.coded: list[tuple[Any, Any]] = []

    def decode(self, table: list[int], count: int) -> list[int]:
        symbols = self.rng.integers(len(table) - 1, size=count)
        self.coded.append((rans.make_table(np.diff(table), 24), symbols))
        return [int(symbol) for symbol in symbols]


@pytest.mark.parametrize(
    ("name", "size", "code"), [("wide", (20, 17), 1), ("conditional", (19, 33), 1), ("all", (4, 4), 9)]
)
def test_tiles_of_a_static_prior(name: str, size: tuple[int, int], code: int) -> None:
    plan = next(plan for plan in maker.MODELS if plan.name == name)
    metadata, arrays = maker.make_model(plan)
    file = model_file.to_bytes(metadata, arrays)
    model, (_, prior) = Model(vars(metadata), arrays), reference.read_model(file)
    streams, parts = [], []
    for seed, (rows, columns) in enumerate(tile_sizes(*size, code)):
        recorder, tile = Recorder(seed), (rows.stop - rows.start, columns.stop - columns.start)
        parts.append(static.decode_static(recorder, prior, 0, *tile))
        streams.append(rans.encode(recorder.coded))
    pixels = (size[0] * plan.stride, size[1] * plan.stride)
    data = make_file(model, pixels, 2, code << 3, *make_payload(streams, parts, code))
    np.testing.assert_array_equal(reference.decode(data, file), joined(parts, *size, code))


@pytest.mark.parametrize("kind", [CONTEXT, ADAPTIVE])
def test_a_tile_is_a_picture(kind: int) -> None:
    model = make_model()
    for stream, part in zip(*encoded(model, 17, 20, code=1, kind=kind), strict=True):
        data = make_file(model, part.shape[1:], 100, kind, *make_payload([stream], [part], 0))
        np.testing.assert_array_equal(reference.decode(data, model.to_bytes()), part)


def tiled(payload: bytes | None = None, crc: int | None = None) -> tuple[str, str]:
    """The fault of a file of 1 x 33 latents in three tiles whose payload or index checksum is another."""
    model = make_model()
    good = make_payload(*encoded(model, 1, 33, code=1), 1)
    payload, crc = good[0] if payload is None else payload, good[1] if crc is None else crc
    return cause_of(make_file(model, (1, 33), 100, CONTEXT | TILES, payload, crc), model.to_bytes())


def test_faults_of_tiles() -> None:
    streams, parts = encoded(make_model(), 1, 33, code=1)
    payload, crc = make_payload(streams, parts, 1)
    ends = np.cumsum([5 + len(stream) for stream in streams])
    assert max(map(len, streams)) < 128 and ends[-1] == len(payload)
    for cut in (0, 1, 4, ends[0] - 1, ends[0], ends[0] + 3, len(payload) - 1):
        assert tiled(payload[:cut])[0] == "tiles"
    assert tiled(payload + b"\0") == ("tiles", "The index section has 1 bytes behind its last tile.")
    assert tiled(bytes([payload[0] | 128, 0]) + payload[1:])[0] == "tiles"
    wrong = bytearray(payload)
    wrong[ends[1] + 1] ^= 1
    cause, sentence = tiled(bytes(wrong), zlib.crc32(b"".join(wrong[at + 1 : at + 5] for at in (0, *ends[:2]))))
    assert cause == "index_crc"
    assert sentence.startswith("The indices of tile 3 of 3 (row 0, column 2) do not match their checksum")
    other = ("index_crc", "The tiles' checksums do not match the index checksum of the header.")
    assert tiled(bytes(wrong)) == tiled(crc=crc ^ 1) == other
    for stream, cause in ((streams[1] + b"\0", "rans"), (streams[1] + b"\1\2\3\4\5", "rans"), (b"", "index_crc")):
        assert tiled(make_payload([streams[0], stream, streams[2]], parts, 1)[0])[0] == cause


def test_an_untiled_file_with_wrong_indices_names_its_one_tile() -> None:
    model = make_model()
    payload, crc = make_payload(*encoded(model, 2, 2), 0)
    sentence = cause_of(make_file(model, (2, 2), 100, CONTEXT, payload, crc ^ 1), model.to_bytes())[1]
    assert sentence.startswith("The indices of tile 1 of 1 (row 0, column 0) do not match")


@pytest.mark.parametrize("prior_tile", [3, 7, 3 | TILES, 255])
def test_an_unknown_prior_is_refused_without_a_model(prior_tile: int) -> None:
    data = make_file(make_model(), (1, 1), 100, prior_tile, b"", 0)
    assert cause_of(data, b"")[0] == "header"


@pytest.mark.parametrize("change", [{"d_star": 3}, {"beta": 2}, {"depth": 1}, {"beta": 2, "mode": "smooth"}], ids=str)
def test_a_header_that_cannot_have_a_context_prior_is_refused(change: dict[str, Any]) -> None:
    model = make_model()
    model.metadata["quantizer"] |= change
    for kind in (CONTEXT, ADAPTIVE):
        assert cause_of(make_file(model, (1, 1), 100, kind, b"", 0), b"")[0] == "header"
    assert cause_of(make_file(model, (1, 1), 100, 0, b"", 0), model.to_bytes())[0] == "model"


def test_header_and_model_must_have_the_same_prior() -> None:
    model = make_model()
    assert cause_of(make_file(model, (1, 1), 100, 0, b"", 0), model.to_bytes())[0] == "mismatch"
    quantizer = maker.quantizer(8, 2, 2, depth=2, wide=2)
    metadata, arrays = maker.make_model(maker.ModelPlan("static", quantizer, 12, 3, 1))
    for kind in (CONTEXT, ADAPTIVE):
        data = make_file(Model(vars(metadata), arrays), (1, 1), 100, kind, b"", 0)
        assert cause_of(data, model_file.to_bytes(metadata, arrays))[0] == "mismatch"
