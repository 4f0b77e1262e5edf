"""Tables that adapt to a tile: what they learn, that they start anew, that they are taken where they save bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from random_priors import PLANS, drawn, latents, prior
from tiny import picture

from vqcodec import coder as module
from vqcodec.api import load_coder
from vqcodec.cli import vqc
from vqcodec.coder import Coder
from vqcodec.cores import THREADS_VARIABLE
from vqcodec.encoder import ContextEncoder
from vqcodec.exact import indices as exact
from vqcodec.exact.accounting import analyze
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.rans import PRECISION_BITS
from vqcodec.exact.priors import ContextPrior
from vqcodec.exact.priors.adaptive import AdaptiveTables, Sharing
from vqcodec.exact.priors.tables import FrequencyTables
from vqcodec.image import Picture

Numbers = npt.NDArray[np.int64]
# Zero, four codevectors that are mirror images of each other, and one that has none; two classes, a table for a pair.
CODEBOOK = np.array([[0, 0], [5, 3], [-5, 3], [5, -3], [-5, -3], [7, 1]], np.int16)
K, BITS = len(CODEBOOK), 10
FINE = np.arange(8, dtype=np.uint16).reshape(2, 2, 2)
COARSE = np.array([[-1, 8], [-1, 9]])


def frequencies(seed: int = 0) -> npt.NDArray[np.uint32]:
    """Ten random tables."""
    random = np.random.default_rng(seed)
    tables = random.integers(1, 150, (10, K))
    tables[:, 0] += (1 << BITS) - tables.sum(axis=1)
    return tables.astype(np.uint32)


def adaptive(tables: npt.NDArray[np.uint32] | None = None) -> AdaptiveTables:
    """Tables of a new tile."""
    start = FrequencyTables("tables", frequencies() if tables is None else tables, K, BITS)
    return AdaptiveTables(Sharing.make(start, CODEBOOK, FINE, COARSE))


def learned(tables: AdaptiveTables, pair: int, coarse: int, fine: int, times: int) -> None:
    """Let tables see one symbol of a pair of classes again and again."""
    of = np.full(times, pair)
    tables.learn(of, np.full(times, coarse != 0), np.full(times, coarse), np.full(times, fine))


def cost(tables: AdaptiveTables, number: int, symbol: int) -> float:
    """Bits of one of several symbols of a table."""
    return float(tables.costs_of(np.full(9, number), np.full(9, symbol))[0])


def test_what_is_seen_often_becomes_cheap_and_everything_else_dearer() -> None:
    tables = adaptive()
    before = [cost(tables, 0, symbol) for symbol in range(K)]
    learned(tables, pair=0, coarse=0, fine=5, times=1000)
    after = [cost(tables, 0, symbol) for symbol in range(K)]
    assert after[5] < before[5] / 2
    assert all(one > other for one, other in zip(after[:5], before[:5], strict=True))


def test_mirror_images_and_neighboring_classes_learn_too_and_others_do_not() -> None:
    tables = adaptive()
    before = {(number, symbol): cost(tables, number, symbol) for number in range(10) for symbol in range(K)}
    learned(tables, pair=0, coarse=0, fine=1, times=200)
    change = {key: cost(tables, *key) - bits for key, bits in before.items()}
    for number in (0, 2, 4):  # the near tables of classes (0, 0), (0, 1) and (1, 0)
        assert all(change[number, symbol] < -0.1 for symbol in (1, 2, 3, 4))
        assert change[number, 5] > 0
    # The nearer the classes, the more: a table of its own and those beside it.
    assert change[0, 1] < change[2, 1]
    for number in (1, 3, 5, 6, 7, 8, 9):  # far ones, those of classes (1, 1), coarse ones
        assert all(change[number, symbol] == 0 for symbol in range(K))


def test_coarse_symbols_count_where_they_are_coded_only() -> None:
    tables = adaptive()
    before = [cost(tables, number, 5) for number in (8, 9)]
    learned(tables, pair=0, coarse=0, fine=5, times=50)
    assert [cost(tables, number, 5) for number in (8, 9)] == before
    learned(tables, pair=1, coarse=5, fine=5, times=50)
    assert all(cost(tables, number, 5) < bits - 0.1 for number, bits in zip((8, 9), before, strict=True))


def test_a_new_group_trusts_what_was_seen_less() -> None:
    tables = adaptive()
    start = cost(tables, 0, 5)
    tables.enter(0)
    learned(tables, pair=0, coarse=0, fine=5, times=100)
    tables.enter(0)
    seen = cost(tables, 0, 5)
    tables.enter(1)
    assert seen < cost(tables, 0, 5) < start
    for group in range(2, 60):
        tables.enter(group)
    assert cost(tables, 0, 5) == pytest.approx(start, abs=1e-3)


def test_few_symbols_of_a_table_are_coded_as_the_model_says() -> None:
    tables, start = adaptive(), FrequencyTables("tables", frequencies(), K, BITS)
    learned(tables, pair=0, coarse=0, fine=5, times=1000)
    for count in (1, 3, 4):
        numbers, symbols = np.zeros(count, np.int64), np.full(count, 5)
        is_plain = np.array_equal(tables.costs_of(numbers, symbols), start.costs_of(numbers, symbols))
        assert is_plain == (count < 4)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(0, 1 << 35), st.integers(0, 99))
def test_every_table_has_a_code_for_every_symbol_however_much_is_counted(least: int, most: int, seed: int) -> None:
    tables = adaptive(frequencies(seed))
    tables._counts[:] = np.random.default_rng(seed).integers(0, least + 1, (10, K))
    tables._counts[:, seed % K] = most
    frequency = 1 + tables._spare(np.arange(10))
    assert frequency.min() >= 1
    assert (frequency.sum(axis=1) == 1 << PRECISION_BITS).all()


@pytest.mark.parametrize("name", PLANS)
def test_tiles_start_anew_and_the_prior_itself_learns_nothing(name: str) -> None:
    found, used = drawn(name, (17, 13), 60), prior(name).adaptive
    first = used.encode(found.indices, found.classes, 60)
    plain = prior(name).encode(found.indices, found.classes, 60)
    assert used.encode(found.indices, found.classes, 60) == first != plain
    assert prior(name).encode(found.indices, found.classes, 60) == plain
    np.testing.assert_array_equal(used.decode(first, (17, 13), 60).indices, found.indices)
    np.testing.assert_array_equal(used.decode(first, (17, 13), 60).indices, found.indices)


def test_a_tile_that_tables_do_not_expect_takes_fewer_bytes() -> None:
    name = "wide_layers"
    z = latents(prior(name).d, (30, 30), 0)
    found = ContextEncoder(prior(name)).choose(np.round(z / 4) * 4, 50, 0.0)
    sizes = [len(each.encode(found.indices, found.classes, 50)) for each in (prior(name), prior(name).adaptive)]
    assert sizes[1] < 0.9 * sizes[0]


@pytest.fixture(scope="module")
def photo() -> Coder:
    """The shipped model."""
    return load_coder()


@pytest.fixture(scope="module")
def whole_coffee() -> Picture:
    """A photograph."""
    with Image.open(Path(__file__).parent.parent / "samples" / "coffee.png") as image:
        return Picture(np.asarray(image.convert("RGB")))


@pytest.fixture(scope="module")
def coffee(whole_coffee: Picture) -> Picture:
    """A part of it, which is coded in less time."""
    return Picture(whole_coffee.pixels[:320, :480])


def test_a_photograph_takes_fewer_bytes_and_its_estimate_is_right(photo: Coder, whole_coffee: Picture) -> None:
    encoded = photo.encode(whole_coffee.pixels, 20, effort=1)
    data = photo.pack(encoded)
    parsed = container.read(data)
    assert parsed.header.adaptive and parsed.header.prior == "context"
    assert isinstance(photo.prior, ContextPrior)
    plain = photo.prior.encode(encoded.choice.indices, encoded.choice.classes, 20)
    assert len(parsed.indices) < 0.995 * len(plain)
    bits = analyze(parsed, photo.metadata, photo.prior)["indices"]["entropy_bits"]
    assert bits / 8 == pytest.approx(len(parsed.indices), rel=0.01)
    np.testing.assert_array_equal(photo.unpack(parsed).choice.indices, encoded.choice.indices)


def test_where_tables_that_adapt_save_nothing_they_are_not_taken(photo: Coder, coffee: Picture) -> None:
    """A file of one latent position, and one whose indices cost nothing."""
    for pixels in (coffee.pixels[:16, :16], np.full((16, 16, 3), 128, np.uint8)):
        encoded = photo.encode(pixels, 1, effort=1)
        header = container.read(photo.pack(encoded)).header
        choice = encoded.choice
        priors = (photo.prior, photo.prior.adaptive)
        sizes = [len(each.encode(choice.indices, choice.classes, 1)) for each in priors if each is not None]
        assert header.adaptive == (sizes[1] < sizes[0])
        assert not header.adaptive


def test_threads_make_the_same_file_of_many_tiles(photo: Coder, coffee: Picture, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "TILE", 16)
    monkeypatch.setattr(module, "TILED_LATENTS", 100)
    files = []
    for threads in ("1", "3"):
        monkeypatch.setenv(THREADS_VARIABLE, threads)
        files.append(photo.compress(coffee, 50, effort=1))
        parsed = container.read(files[-1])
        assert parsed.header.adaptive and parsed.header.tile == 16
        assert photo.decompress(files[-1]).pixels.shape == coffee.pixels.shape
    assert files[0] == files[1]


def test_parts_and_sketches_of_a_file_whose_tables_adapt(photo: Coder, coffee: Picture) -> None:
    parsed = container.read(photo.compress(coffee, 60, effort=0))
    assert parsed.header.adaptive
    used = exact.prior_of(parsed.header, photo.prior)
    codes = used.decode(parsed.indices, (20, 30), 60).codes
    first = used.decode_first(parsed.indices, (20, 30), 60, 20)
    np.testing.assert_array_equal(first, codes[: len(first)])


def test_info_names_tables_that_adapt(photo: Coder, coffee: Picture, tmp_path: Path) -> None:
    (tmp_path / "a.vqc").write_bytes(photo.compress(coffee, 50, effort=0))
    (tmp_path / "b.vqc").write_bytes(photo.compress(Picture(picture(1, 1, seed=0)), 1, effort=0))
    for name, said in (("a.vqc", True), ("b.vqc", False)):
        shown = CliRunner().invoke(vqc, ["info", str(tmp_path / name)])
        assert shown.exit_code == 0
        assert ("context, tables that adapt" in shown.output) == said
