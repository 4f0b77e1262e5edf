"""The context prior: exact round trips, files as small as predicted, and models that must be refused."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_priors import PLANS, chosen, drawn, model, prior, random_models

from vqcodec.errors import FormatError, ModelError
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.exact.indices import unpack
from vqcodec.exact.model_file import Arrays, Metadata
from vqcodec.exact.priors.context import NO_COARSE, ContextPrior
from vqcodec.exact.priors.integer_net import BOUND
from vqcodec.exact.priors.tables import Choice

maker: Any = importlib.import_module("make_vectors")
reference: Any = importlib.import_module("reference_decoder")

GRIDS = [(1, 1), (1, 5), (3, 2), (2, 2), (4, 4), (9, 1), (17, 13)]
QUALITIES = [1.0, 37.5, 100.0]


def assert_same(one: Choice, other: Choice) -> None:
    """Indices, classes and codes are equal."""
    for name in Choice._fields:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("name", PLANS)
def test_what_the_encoder_chose_is_decoded(name: str, grid: tuple[int, int], quality: float) -> None:
    found = chosen(name, grid, quality)
    for used in (prior(name), prior(name).adaptive):
        data = used.encode(found.indices, found.classes, quality)
        assert_same(used.decode(data, grid, quality), found)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("name", PLANS)
def test_any_indices_are_decoded(name: str, grid: tuple[int, int]) -> None:
    found = drawn(name, grid, 50)
    for used in (prior(name), prior(name).adaptive):
        data = used.encode(found.indices, found.classes, 50)
        assert_same(used.decode(data, grid, 50), found)


@pytest.mark.parametrize("adapts", [False, True])
@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("make", [chosen, drawn])
def test_estimated_bits_are_those_of_the_file(name: str, make: Callable[..., Choice], adapts: bool) -> None:
    used = prior(name).adaptive if adapts else prior(name)
    assert used.adapts == adapts
    for grid in ((5, 4), (40, 48)):
        found = make(name, grid, 60)
        class_bits, index_bits = used.bits(found.indices, found.classes, 60)
        assert class_bits == 0
        size = len(used.encode(found.indices, found.classes, 60))
        assert abs(size - index_bits / 8) <= 0.01 * index_bits / 8 + 16
        each = used.index_bits(found.indices, found.classes, 60)
        assert each.shape == found.indices.shape
        assert index_bits == pytest.approx(each.sum(dtype=np.float64))


@pytest.mark.parametrize("name", PLANS)
def test_the_random_models_exercise_everything(name: str) -> None:
    """Means and classes vary, units are coded with and without a coarse index, with near and with far tables."""
    found, plan = drawn(name, (24, 24), 100), PLANS[name]
    half = prior(name).d // 2
    assert (np.bincount(found.classes.reshape(-1), minlength=plan.deviation_classes) > 0).mean() > 0.6
    assert len(np.unique(found.codes)) > 200
    classes = found.classes.reshape(half, 2, -1).transpose(0, 2, 1)
    _, wide = prior(name).coarse_tables(classes)
    far = found.indices[:half] != prior(name).zero
    assert 0.1 < wide.mean() < 0.9
    assert 0.05 < far.mean() < 0.9
    assert not far.reshape(-1)[~wide].any()
    assert len(np.unique(prior(name).fine_tables(classes, found.indices[:half].reshape(-1)))) > plan.tables / 2


def test_where_no_coarse_index_is_coded_it_costs_nothing_and_is_zero() -> None:
    metadata, arrays = model("two_groups")
    maps = {"context.coarse_map": np.full_like(arrays["context.coarse_map"], NO_COARSE)}
    fine_only = model_file.make_prior(metadata, arrays | maps)
    assert isinstance(fine_only, ContextPrior)
    found = random_models.draw_context(np.random.default_rng(0), fine_only, (6, 7), 50)
    assert (found.indices[:3] == fine_only.zero).all()
    assert (fine_only.index_bits(found.indices, found.classes, 50)[:3] == 0).all()
    assert_same(fine_only.decode(fine_only.encode(found.indices, found.classes, 50), (6, 7), 50), found)


def test_zero_is_the_lowest_number_of_a_zero_codevector() -> None:
    assert prior("one_group").zero == 0
    assert prior("two_groups").zero == 5


def test_rows_cover_the_qualities_in_order() -> None:
    qualities = [q / 2 for q in range(2, 201)]
    rows = [prior("two_groups").row(quality) for quality in qualities]
    assert rows == sorted(rows) and set(rows) == {0, 1, 2}
    assert rows == [(2 * round(2 * q - 2) + 99) // 198 for q in qualities]
    assert {prior("one_group").row(quality) for quality in qualities} == {0}


def test_another_row_decodes_to_something_else() -> None:
    found = drawn("two_groups", (17, 13), 1)
    data = prior("two_groups").encode(found.indices, found.classes, 1)
    with pytest.raises(FormatError, match="more than the indices"):
        prior("two_groups").decode(data, (17, 13), 100)


def test_a_stream_that_is_too_long_or_padded_is_refused() -> None:
    found = drawn("two_groups", (3, 2), 50)
    data = prior("two_groups").encode(found.indices, found.classes, 50)
    for longer, text in ((data + b"\0", "zero byte"), (bytes(4) + data, "more than"), (data + b"\1\2\3\4\5", "more")):
        with pytest.raises(FormatError, match=text):
            prior("two_groups").decode(longer, (3, 2), 50)


def test_an_empty_stream_is_nothing_but_zeros() -> None:
    zeros = prior("two_groups").decode(b"", (2, 3), 50)
    assert not zeros.indices.reshape(2, 3, -1)[1].any()
    assert prior("two_groups").encode(zeros.indices, zeros.classes, 50) == b""


Change = Callable[[Metadata, Arrays], tuple[Metadata, Arrays]]


def put(name: str, at: Any, value: int) -> Change:
    """Write numbers into a tensor."""

    def change(metadata: Metadata, arrays: Arrays) -> tuple[Metadata, Arrays]:
        changed = arrays["context." + name].copy()
        changed[at] = value
        return metadata, arrays | {"context." + name: changed}

    return change


def tensor(name: str, make: Callable[[Any], Any]) -> Change:
    """Put another tensor in the place of one."""
    return lambda metadata, arrays: (metadata, arrays | {"context." + name: make(arrays["context." + name])})


def drop(name: str) -> Change:
    """Take a tensor away."""
    return lambda metadata, arrays: (metadata, {k: v for k, v in arrays.items() if k != "context." + name})


def setting(**values: Any) -> Change:
    """Write settings of the context prior."""
    return lambda metadata, arrays: (replace(metadata, prior_settings=metadata.prior_settings | values), arrays)


def without(name: str) -> Change:
    """Leave out a setting of the context prior."""

    def change(metadata: Metadata, arrays: Arrays) -> tuple[Metadata, Arrays]:
        return replace(metadata, prior_settings={k: v for k, v in metadata.prior_settings.items() if k != name}), arrays

    return change


def quantizer(**values: Any) -> Change:
    """Write settings of the quantizer; None takes one away."""

    def change(metadata: Metadata, arrays: Arrays) -> tuple[Metadata, Arrays]:
        changed = {k: v for k, v in (metadata.quantizer | values).items() if v is not None}
        return replace(metadata, quantizer=changed), arrays

    return change


TENSORS = [name.removeprefix("context.") for name in model("two_groups")[1] if name.startswith("context.")]
BIG = {"fine_map": np.zeros((257, 257, 2), np.uint16), "coarse_map": np.zeros((257, 257), np.uint16)}
REFUSED: dict[str, Change] = {
    **{f"no {name}": drop(name) for name in TENSORS},
    **{f"{name} of another type": tensor(name, lambda x: x.astype(np.int64)) for name in TENSORS},
    **{f"{name} cut": tensor(name, lambda x: x[1:]) for name in TENSORS if name != "unit"},
    **{f"{name} flat": tensor(name, lambda x: x.reshape(-1, 1, 1)) for name in TENSORS},
    "unit of fewer channels": tensor("unit", lambda x: x[:, 2:]),
    "unit without rows": tensor("unit", lambda x: x[:0]),
    **{f"{name} -128": put(name, (-1, -1), -128) for name in ("0.own.4.weight", "1.around.weight", "1.embed.weight")},
    **{f"{name} 15": put(name, -1, 15) for name in ("0.first.shift", "1.second.shift", "1.out.shift", "1.embed.shift")},
    "sums beyond 2^22": put("1.out.bias", (0, 0), BOUND),
    "a negative bias beyond 2^22": put("0.first.bias", (3, 1, 4), -BOUND),
    "the smallest bias of all": put("0.second.bias", 0, -(1 << 31)),
    "fine_map out of range": put("fine_map", (8, 8, 1), 12),
    "fine_map without a table": put("fine_map", (0, 0, 0), NO_COARSE),
    "coarse_map out of range": put("coarse_map", (0, 8), 12),
    "257 deviation classes": lambda metadata, arrays: (metadata, arrays | {"context." + k: v for k, v in BIG.items()}),
    "no zero codevector": put("codebook16", slice(None), 1),
    "unit 0": put("unit", (2, 3), 0),
    "frequency 0": put("tables", (2, slice(None)), 0),
    "a row of tables that sums to too much": put("tables", (2, 3), 1 << 14),
    "odd group": setting(groups=[3, 3]),
    "empty group": setting(groups=[2, 0, 4]),
    "groups of too few channels": setting(groups=[2, 2]),
    "groups of fractions": setting(groups=[2.0, 4]),
    "no groups": setting(groups=[]),
    "groups no list": setting(groups=6),
    "embed": setting(embed=5),
    "hidden": setting(hidden=7),
    "hidden true": setting(hidden=True),
    **{f"{name} missing": without(name) for name in ("hidden", "patterns", "starts", "groups")},
    "an unknown pattern": setting(patterns=["deep", "finest"]),
    "another pattern": setting(patterns=["deep", "deep"]),
    "a pattern without linear predictions": setting(patterns=["coarse", "fine"]),
    "too few patterns": setting(patterns=["deep"]),
    "too many starts": setting(starts=[0, 0, 0]),
    "a start below 0": setting(starts=[0, -1]),
    "1026 channels predicted linearly": setting(groups=[2, 1026]),
    "a start of 1.0": setting(starts=[0, 1.0]),
    "linear of float": tensor("0.linear.1.weight", lambda x: x.astype(np.float32)),
    "masking that is no boolean": setting(masking=1),
    "bound above 2^22": setting(bound=BOUND + 1),
    **{f"scale {x}": quantizer(scale=x) for x in (0, 256, -1, 12.5, "12", True, math.nan, math.inf)},
    **{f"quantizer {k}={v}": quantizer(**{k: v}) for k, v in (("K", 17), ("m", 4), ("d_star", 4), ("beta", 2))},
    **{f"quantizer {k}={v}": quantizer(**{k: v}) for k, v in (("wide", 2), ("depth", 1), ("mode", "smooth"))},
    **{f"quantizer without {k}": quantizer(**{k: None}) for k in ("K", "m", "d_star", "wide", "scale")},
    "table_bits 7": lambda metadata, arrays: (replace(metadata, table_bits=7), arrays),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED.keys())
def test_a_model_that_cannot_be_right_is_refused(change: Change) -> None:
    with pytest.raises(ModelError):
        model_file.make_prior(*change(*model("two_groups")))


def test_the_bound_is_exact() -> None:
    """The stored bound may be anything from what the sums can reach up to 2^22."""
    metadata, arrays = model("two_groups")
    reached = prior("two_groups").bound
    weight = {k.removeprefix("context."): np.abs(v.astype(np.int64)) for k, v in arrays.items()}
    sums = [127 * weight[f"{g}.{name}.weight"].sum(0) + weight[f"{g}.{name}.bias"]
            for g, name in ((0, "second"), (0, "out"), (1, "second"), (1, "out"), (1, "embed"))]  # fmt: skip
    for g, phases in ((0, 9), (1, 5)):
        for p in range(phases):
            inputs = [f"{g}.{name}.{p}.weight" for name in ("own", "rough") if p] + ["1.around.weight"] * g
            sums.append(127 * sum((weight[name].sum(0) for name in inputs), 0) + weight[f"{g}.first.bias"][p])
    assert reached == max(int(s.max()) for s in sums)
    for bound in (reached, reached + 1, BOUND):
        model_file.make_prior(*setting(bound=bound)(metadata, arrays))
    for bound in (reached - 1, 0, -1, BOUND + 1):
        with pytest.raises(ModelError, match=f"{reached}|{bound}"):
            model_file.make_prior(*setting(bound=bound)(metadata, arrays))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sum_may_reach_the_bound_and_not_one_more(sign: int) -> None:
    metadata, arrays = setting(bound=BOUND)(*model("two_groups"))
    used = 127 * int(np.abs(arrays["context.1.out.weight"][:, 2].astype(np.int64)).sum())
    made = model_file.make_prior(*put("1.out.bias", (0, 2), sign * (BOUND - used))(metadata, arrays))
    assert isinstance(made, ContextPrior) and made.bound == BOUND
    with pytest.raises(ModelError, match="beyond"):
        model_file.make_prior(*put("1.out.bias", (0, 2), sign * (BOUND - used + 1))(metadata, arrays))


@st.composite
def plans(draw: st.DrawFn) -> tuple[Any, Any]:
    """Plans of a random model and of a random picture coded with it, in tiles or not."""
    groups = tuple(draw(st.lists(st.sampled_from([2, 4, 6]), min_size=1, max_size=3)))
    K = draw(st.integers(2, 40))
    sizes = {name: draw(st.integers(1, 9)) for name in ("embed", "hidden", "rows", "deviation_classes", "tables")}
    settings = {"table_bits": draw(st.integers(8, 24)), "scale": draw(st.sampled_from([1.0, 7, 255]))}
    zeros = (draw(st.integers(0, K - 1)),)
    name = str(draw(st.integers(0, 999)))
    plan = random_models.ContextPlan(name, groups, K, stride=draw(st.integers(1, 20)), zeros=zeros, **sizes, **settings)
    height, width = (plan.stride * draw(st.integers(1, 20)) for _ in range(2))
    tile, quality = draw(st.sampled_from([0, 16, 496])), draw(st.integers(2, 200)) / 2
    adaptive = draw(st.booleans())
    return plan, maker.FilePlan(name, name, width, height, quality, "random", tile=tile, adaptive=adaptive)


@settings(max_examples=60, deadline=None)
@given(plans())
def test_the_reference_decodes_what_vqcodec_wrote(plans: tuple[Any, Any]) -> None:
    metadata, arrays = random_models.make_model(plans[0])
    data, indices = maker.make_file(plans[1], metadata, arrays)
    np.testing.assert_array_equal(reference.decode(data, model_file.to_bytes(metadata, arrays)), indices)
    metadata = replace(metadata, fingerprint=model_file.fingerprint(metadata, arrays))
    found = unpack(container.read(data), metadata, model_file.make_prior(metadata, arrays))
    np.testing.assert_array_equal(found.choice.indices, indices)
