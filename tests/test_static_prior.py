"""The static prior: exact round trips, and files as small as the tables predict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqcodec.errors import FormatError, ModelError
from vqcodec.exact.bitstream import rans
from vqcodec.exact.priors.static import StaticPrior, row_quality
from vqcodec.training.rate.frequencies import cluster, frequency_tables

Array = npt.NDArray[np.integer]


def make_prior(
    seed: int, K: int = 11, planes: int = 3, classes: int = 1, factor: int = 1, bits: int = 16
) -> StaticPrior:
    random = np.random.default_rng(seed)
    tables = frequency_tables(random.dirichlet(np.full(K, 0.3), 5), bits)
    conditional = random.integers(5, size=K).astype(np.uint16) if factor > 1 else None
    class_tables = class_map = None
    if classes > 1:
        class_tables = frequency_tables(random.dirichlet(np.ones(classes), 4), bits)
        class_map = random.integers(4, size=(2, classes + 1, classes + 1)).astype(np.uint16)
    table_map = random.integers(5, size=(2, classes, planes)).astype(np.uint16)
    return StaticPrior(bits, factor, tables, table_map, conditional, class_tables, class_map)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    classes=st.integers(1, 4),
    factor=st.integers(1, 3),
    bits=st.sampled_from([8, 16, 20, 24]),
    quality=st.sampled_from([1.0, 50.0, 50.5, 100.0]),
)
def test_what_is_encoded_is_decoded(
    seed: int, height: int, width: int, classes: int, factor: int, bits: int, quality: float
) -> None:
    prior = make_prior(seed, classes=classes, factor=factor, bits=bits)
    random = np.random.default_rng(seed + 1)
    indices = random.integers(prior.K, size=(3, height * factor, width * factor)).astype(np.uint16)
    kinds = random.integers(classes, size=(height, width)).astype(np.uint8)
    data = prior.encode(indices, kinds, quality)
    decoded, decoded_kinds, _ = prior.decode(data, (height, width), quality)
    assert np.array_equal(decoded, indices)
    assert np.array_equal(decoded_kinds, kinds)
    assert 8 * len(data) <= sum(prior.bits(indices, kinds, quality)) * 1.01 + 64


def draw(prior: StaticPrior, row: int, classes: Array, random: np.random.Generator) -> Array:
    """Draw indices from the very tables that will code them."""
    height, width = classes.shape
    shares = prior.tables / prior.tables.sum(axis=1, keepdims=True)
    numbers = np.moveaxis(prior.table_map[row][classes], 2, 0)
    flat = [random.choice(prior.K, p=shares[number]) for number in numbers.reshape(-1)]
    return np.array(flat).reshape(-1, height, width)


def test_file_size_is_the_entropy_that_the_tables_predict() -> None:
    prior, random = make_prior(5, K=64, planes=4, classes=3), np.random.default_rng(6)
    classes = random.integers(3, size=(40, 40))
    indices = draw(prior, prior.row(50), classes, random)
    predicted = sum(prior.bits(indices, classes, 50)) / 8
    assert predicted <= len(prior.encode(indices, classes, 50)) <= 1.001 * predicted + 8


def test_rows_cover_the_qualities_in_order() -> None:
    prior = make_prior(0)
    rows = [prior.row(q / 2) for q in range(2, 201)]
    assert rows == sorted(rows) and set(rows) == {0, 1}
    assert [prior.row(row_quality(row, 2)) for row in (0, 1)] == [0, 1]


def test_exact_tables_are_what_the_coder_uses() -> None:
    """The words of a stream, computed by hand from the integer frequencies."""
    frequencies = np.array([1, 3, 60000, 5532], dtype=np.uint32)
    data = rans.encode([(rans.make_table(frequencies, 16), np.array([0, 1, 2, 3, 2, 2, 2, 3]))])
    state, words = 0, []
    cumulative = np.concatenate([[0], np.cumsum(frequencies.astype(object))]) << 8
    for symbol in reversed([0, 1, 2, 3, 2, 2, 2, 3]):
        frequency = int(frequencies[symbol]) << 8
        if state >> 40 >= frequency:
            words.append(state & 0xFFFFFFFF)
            state >>= 32
        state = (state // frequency << 24) + int(cumulative[symbol]) + state % frequency
    while state:
        words.append(state & 0xFFFFFFFF)
        state >>= 32
    assert data == np.array(words, dtype="<u4").tobytes().rstrip(b"\0")


def test_clustered_tables_cost_little_more_than_their_own() -> None:
    random = np.random.default_rng(0)
    kinds = random.dirichlet(np.full(32, 0.5), 6)
    histograms = np.stack([random.multinomial(2000, kinds[i % 6]) for i in range(60)]).astype(np.float32) + 0.01
    shared, numbers = cluster(histograms, 12)
    tables = frequency_tables(shared, 16)
    spent = (histograms * (16 - np.log2(tables[numbers]))).sum()
    share = histograms / histograms.sum(1, keepdims=True)
    assert spent < 1.03 * -(histograms * np.log2(share)).sum()


@pytest.mark.parametrize("bits", [8, 20, 24])
def test_integer_tables_sum_exactly_and_never_hold_a_zero(bits: int) -> None:
    shares = np.random.default_rng(1).dirichlet(np.full(200, 0.01), 50)
    tables = frequency_tables(shares, bits)
    assert tables.min() >= 1
    assert (tables.sum(axis=1, dtype=np.int64) == 1 << bits).all()


def test_a_stream_that_is_too_long_or_padded_is_refused() -> None:
    prior = make_prior(2)
    indices, classes = np.zeros((3, 4, 4), np.uint16), np.zeros((4, 4), np.uint8)
    data = prior.encode(indices, classes, 50)
    with pytest.raises(FormatError, match="zero byte"):
        prior.decode(data + b"\0", (4, 4), 50)
    with pytest.raises(FormatError, match="more than the indices"):
        prior.decode(data + bytes(range(1, 9)), (4, 4), 50)


@pytest.mark.parametrize("fault", ["sum", "zero", "map", "shape"])
def test_tables_that_cannot_be_right_are_refused(fault: str) -> None:
    prior = make_prior(3)
    tables, table_map = prior.tables.copy(), prior.table_map.copy()
    if fault == "sum":
        tables[0, 0] += 1
    elif fault == "zero":
        tables[0, tables[0].argmax()] += tables[0, 0]
        tables[0, 0] = 0
    elif fault == "map":
        table_map[0, 0, 0] = len(tables)
    else:
        table_map = table_map[0]
    with pytest.raises(ModelError):
        StaticPrior(prior.table_bits, 1, tables, table_map)


@pytest.mark.parametrize(
    "changes",
    [
        {"class_tables": None},
        {"class_map": None},
        {"class_tables": None, "class_map": None},
        {"class_map": np.zeros((2, 2, 2), np.uint16)},
        {"class_map": np.zeros((1, 4, 4), np.uint16)},
        {"class_tables": frequency_tables(np.ones((4, 5)), 16)},
        {"table_bits": 7},
        {"conditional_map": np.zeros(3, np.uint16)},
    ],
    ids=str,
)
def test_class_tables_that_do_not_fit_are_refused(changes: dict[str, object]) -> None:
    prior = make_prior(4, classes=3)
    with pytest.raises(ModelError):
        replace(prior, **changes)  # type: ignore[arg-type]
