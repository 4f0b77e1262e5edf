"""The reference decoder's context prior and tiles, against files made by hand and FORMAT.md's own numbers."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from context_by_hand import (
    Encoder,
    Indices,
    Model,
    make_file,
    make_model,
    make_payload,
    phases_of,
    places_of,
    tile_sizes,
)

from vqcodec.exact import model_file
from vqcodec.exact.bitstream import rans

reference: Any = importlib.import_module("reference_decoder")
context: Any = importlib.import_module("reference_context")
static: Any = importlib.import_module("reference_static")
maker: Any = importlib.import_module("make_vectors")

CONTEXT, TILES = 1, 8  # the prior's kind and a tile code of 1 in the header byte
Change = Callable[[dict[str, Any], dict[str, Any]], Any]


def cause_of(data: bytes, model: bytes) -> tuple[str, str]:
    """The fault that the reference decoder finds in a file, and its sentence."""
    with pytest.raises(reference.DecodeError) as fault:
        reference.decode(data, model)
    assert str(fault.value).endswith(".")
    return fault.value.cause, str(fault.value)


def joined(parts: list[Indices], h: int, w: int, code: int) -> Indices:
    """The picture's indices out of its tiles', of which each position has f x f."""
    f = parts[0].shape[1] // next(rows.stop for rows, _ in tile_sizes(h, w, code))
    whole = np.zeros((len(parts[0]), f * h, f * w), np.uint16)
    for (rows, columns), part in zip(tile_sizes(h, w, code), parts, strict=True):
        whole[:, f * rows.start : f * rows.stop, f * columns.start : f * columns.stop] = part
    return whole


def encoded(model: Model, h: int, w: int, half_steps: int = 100, code: int = 0) -> tuple[list[bytes], list[Indices]]:
    """Stream and random indices of each tile of a picture."""
    rng = np.random.default_rng([h, w, half_steps, code])
    row = ((half_steps - 2) * (len(model.arrays["context.unit"]) - 1) + 99) // 198
    tiles = []
    for rows, columns in tile_sizes(h, w, code):
        size = (rows.stop - rows.start, columns.stop - columns.start)
        tiles.append(Encoder(model, row, *size, lambda table: int(rng.integers(len(table)))).run())
    return [stream for stream, _ in tiles], [part for _, part in tiles]


def coded_file(model: Model, h: int, w: int, half_steps: int = 100, code: int = 0) -> tuple[bytes, Indices]:
    """A file of random indices, and these."""
    streams, parts = encoded(model, h, w, half_steps, code)
    data = make_file(model, (h, w), half_steps, CONTEXT | code << 3, *make_payload(streams, parts, code))
    return data, joined(parts, h, w, code)


@pytest.mark.parametrize("group", [0, 1])
def test_the_phases_are_those_of_the_text_and_look_only_back(group: int) -> None:
    phases = phases_of(group)
    pattern = context.pattern_of(group)
    found = [(pattern.period, list(phase.cells), list(phase.offsets)) for phase in pattern.phases]
    assert found == [tuple(phase) for phase in phases]
    for h, w in ((1, 1), (1, 3), (4, 4), (5, 9)):
        known: set[tuple[int, int]] = set()
        for number, phase in enumerate(phases):
            places = places_of(phase, h, w)
            assert list(zip(*context.places_of(pattern, number, h, w), strict=True)) == places
            seen = {(y + dy, x + dx) for y, x in places for dy, dx in phase.offsets}
            assert {(y, x) for y, x in seen if 0 <= y < h and 0 <= x < w} <= known
            assert not known & set(places)
            known |= set(places)
        assert len(known) == h * w


def test_the_examples_of_the_text() -> None:
    one = np.array([1])
    assert np.array([3, -20, 127]) @ np.array([5, -7, 2]) + 100 == 509
    assert [int(context.activate(one * a, one * s)[0]) for a, s in ((509, 4), (-509, 4), (509, 0))] == [32, 0, 127]
    assert context.mean_of(one * -1000, one * 37, one * 6) == -36
    assert [int(context.level_of(one * o, one * 6, 31)[0]) for o in (-1000, 9000)] == [0, 9]
    assert context.network_input(np.array([-73, -6]), np.array([37, 37])).tolist() == [-32, -3]


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (3, 1), (2, 2), (5, 6), (9, 7)], ids=str)
@pytest.mark.parametrize(("seed", "groups", "half_steps"), [(0, (2, 4), 100), (1, (6,), 2), (2, (2, 2, 4), 200)])
def test_what_was_encoded_by_hand_is_decoded(
    size: tuple[int, int], seed: int, groups: tuple[int, ...], half_steps: int
) -> None:
    model = make_model(seed, groups, rows=1 + 2 * seed)
    data, indices = coded_file(model, *size, half_steps)
    np.testing.assert_array_equal(reference.decode(data, model.to_bytes()), indices)
    if size == (9, 7):
        coarse = indices[: sum(groups) // 2]
        assert 0.05 < (coarse == 3).mean() < 0.95
        assert (coarse == 6).any()


@pytest.mark.parametrize(("size", "code"), [((17, 35), 1), ((16, 16), 1), ((1, 33), 2), ((5, 4), 31)])
def test_tiles_of_a_context_prior(size: tuple[int, int], code: int) -> None:
    model = make_model()
    data, indices = coded_file(model, *size, code=code)
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


def test_a_tile_is_a_picture() -> None:
    model = make_model()
    for stream, part in zip(*encoded(model, 17, 20, code=1), strict=True):
        data = make_file(model, part.shape[1:], 100, CONTEXT, *make_payload([stream], [part], 0))
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


@pytest.mark.parametrize("prior_tile", [2, 7, 2 | TILES, 255])
def test_an_unknown_prior_is_refused_without_a_model(prior_tile: int) -> None:
    data = make_file(make_model(), (1, 1), 100, prior_tile, b"", 0)
    assert cause_of(data, b"")[0] == "header"


@pytest.mark.parametrize("change", [{"d_star": 3}, {"beta": 2}, {"depth": 1}, {"beta": 2, "mode": "smooth"}], ids=str)
def test_a_header_that_cannot_have_a_context_prior_is_refused(change: dict[str, Any]) -> None:
    model = make_model()
    model.metadata["quantizer"] |= change
    assert cause_of(make_file(model, (1, 1), 100, CONTEXT, b"", 0), b"")[0] == "header"
    assert cause_of(make_file(model, (1, 1), 100, 0, b"", 0), model.to_bytes())[0] == "model"


def test_header_and_model_must_have_the_same_prior() -> None:
    model = make_model()
    assert cause_of(make_file(model, (1, 1), 100, 0, b"", 0), model.to_bytes())[0] == "mismatch"
    quantizer = maker.quantizer(8, 2, 2, depth=2, wide=2)
    metadata, arrays = maker.make_model(maker.ModelPlan("static", quantizer, 12, 3, 1))
    data = make_file(Model(vars(metadata), arrays), (1, 1), 100, CONTEXT, b"", 0)
    assert cause_of(data, model_file.to_bytes(metadata, arrays))[0] == "mismatch"


def put(name: str, at: Any, value: int) -> Change:
    """Writes one number into a tensor."""
    return lambda metadata, arrays: arrays[f"context.{name}"].__setitem__(at, value)


def setting(part: str, **values: Any) -> Change:
    """Writes settings."""
    return lambda metadata, arrays: metadata[part].update(values)


def drop(name: str) -> Change:
    """Takes a tensor away."""
    return lambda metadata, arrays: arrays.pop(f"context.{name}")


def recast(name: str, dtype: Any, rows: slice = slice(None)) -> Change:
    """Gives a tensor another type or fewer rows."""
    full = f"context.{name}"
    return lambda metadata, arrays: arrays.update({full: arrays[full][rows].astype(dtype)})


BIG_MAPS = {f"context.{x}_map": np.zeros((257, 257, 2)[:n], np.uint16) for x, n in (("fine", 3), ("coarse", 2))}
NETS = [f"{g}.{name}" for g in (0, 1) for name in ("first.bias", "second.weight", "out.shift", "own.2.weight")]
BAD_MODELS: dict[str, Change] = {
    **{f"no {name}": drop(name) for name in (*NETS, "1.embed.bias", "codebook16", "unit", "tables", "fine_map")},
    **{f"{name} float": recast(name, np.float32) for name in (*NETS, "1.around.weight", "codebook16", "coarse_map")},
    **{
        f"{name} cut": recast(name, make_model().arrays[f"context.{name}"].dtype, slice(1, None))
        for name in (*NETS, "fine_map")
    },
    **{f"{name} -128": put(name, (-1, -1), -128) for name in ("0.own.4.weight", "1.around.weight", "1.embed.weight")},
    **{f"{name} 15": put(name, -1, 15) for name in ("0.first.shift", "1.out.shift", "1.embed.shift")},
    "map out of range": put("fine_map", (5, 5, 1), 7),
    "coarse map out of range": put("coarse_map", (0, 5), 7),
    "fine map without": put("fine_map", (0, 0, 0), 65535),
    "no zero codevector": put("codebook16", slice(None), 1),
    "unit 0": put("unit", (1, 3), 0),
    "frequency 0": put("tables", (2, slice(None)), 0),
    "sum": put("tables", (6, 7), 4096),
    "odd group": setting("context", groups=[3, 3]),
    "zero group": setting("context", groups=[0, 6]),
    "sum of groups": setting("context", groups=[2, 2]),
    "groups": setting("context", groups=[2.0, 4]),
    "no groups": setting("context", groups=[]),
    "embed": setting("context", embed=3),
    "hidden": setting("context", hidden=True),
    "bound": setting("context", bound=(1 << 22) + 1),
    "settings": lambda metadata, arrays: metadata.update(context={}),
    **{f"scale {x}": setting("quantizer", scale=x) for x in (0, 256, 12.5, "12", True, None, float("nan"))},
    "257 levels": lambda metadata, arrays: arrays.update(BIG_MAPS),
    **{f"{key}": setting("quantizer", **{key: x}) for key, x in (("wide", 2), ("depth", 1), ("mode", "smooth"))},
}


@pytest.mark.parametrize("change", BAD_MODELS.values(), ids=BAD_MODELS.keys())
def test_unusable_models_are_refused(change: Change) -> None:
    good, bad = make_model(), make_model()
    data, _ = coded_file(good, 1, 1)
    change(bad.metadata, bad.arrays)
    assert cause_of(data, bad.to_bytes())[0] == "model"


def test_the_bound_is_exact() -> None:
    model = make_model()
    data, largest = coded_file(model, 1, 1)[0], 0
    a = {name.removeprefix("context."): abs(array.astype(np.int64)) for name, array in model.arrays.items()}
    for g in (0, 1):
        sums = [a[f"{g}.{name}.weight"].sum(0) * 127 + a[f"{g}.{name}.bias"] for name in ("second", "out")]
        for p, bias in enumerate(a[f"{g}.first.bias"]):
            own = a[f"{g}.own.{p}.weight"].sum(0) if p else 0
            sums.append(127 * (own + (a["1.around.weight"].sum(0) if g else 0)) + bias)
        largest = max(largest, *(int(s.max()) for s in sums))
    for bound, fault in ((largest, "fingerprint"), (largest - 1, "model")):
        model.metadata["context"]["bound"] = bound
        assert cause_of(data, model.to_bytes())[0] == fault


def test_the_fingerprint_covers_the_context_only_where_there_is_one() -> None:
    compute: Any = importlib.import_module("reference_model").compute_fingerprint
    metadata, arrays = maker.make_model(maker.MODELS[0])
    values = {key: getattr(metadata, key) for key in ("network", "quantizer", "stride", "table_bits")}
    wanted = model_file.fingerprint(metadata, arrays)
    assert compute(values, arrays).hex() == compute(values | {"context": None}, arrays).hex() == wanted
    assert compute(values | {"context": {}}, arrays).hex() != wanted
