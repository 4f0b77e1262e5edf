"""benchmarks/released_layouts.py: its fields, what its ways to quantize cost, and that only quantizing is an error."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def layouts(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark as a module, with an eighth of its fields."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    module = importlib.import_module("released_layouts")
    monkeypatch.setattr(module, "BATCH", 8)
    return module


def test_neighbors_have_the_correlation_and_channels_none(layouts: Any) -> None:
    z = layouts.fields(0.9, 1)
    assert float(z.var()) == pytest.approx(1.0, abs=0.15)
    for one, other in ((z[..., 1:], z[..., :-1]), (z[..., 1:, :], z[..., :-1, :])):
        assert float((one * other).mean()) == pytest.approx(0.9, abs=0.15)
    assert abs(float((z[:, 1:] * z[:, :-1]).mean())) < 0.15


def test_the_table_has_bits_and_decibels_of_every_way(layouts: Any) -> None:
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in layouts.table()]
    assert [line[1] for line in lines[2:]] == ["2.00", "8.00", "8.00", "2.00", "0.75", "0.75", "0.75"]
    found = {line[0]: [float(cell.removesuffix(" dB")) for cell in line[2:]] for line in lines[2:]}
    text, released = (next(db for label, db in found.items() if which in label) for which in ("text", "β = 2 as"))
    assert all(more > less + 4 for more, less in zip(released, text, strict=True))
    assert found["PQ 256 × 4"][0] > found["PQ 8 × 4"][0] + 1


def test_books_of_few_features_are_not_better_for_knowing_them(layouts: Any) -> None:
    """Channels are alike, so a codebook of each unit is worth no more than one that all units have learned."""
    ways = {way.label: way for way in layouts.WAYS}
    learned, other = (layouts.fields(0.0, seed) for seed in range(2))
    shared, own = (ways[f"{name} 256 × 4"] for name in ("LooC", "PQ"))
    assert own.error_db(learned, learned)[1] > shared.error_db(learned, learned)[1] + 1
    assert own.error_db(learned, other)[1] < shared.error_db(learned, other)[1]


@pytest.mark.parametrize("name", ["LooC 256 × 4, β = 2 of the text", "LooC 256 × 4, β = 2 as released"])
def test_what_is_quantized_without_an_error_has_none(layouts: Any, name: str) -> None:
    """Of latents that make no more features than there are codevectors, every feature is one, blurred or not."""
    way = next(way for way in layouts.WAYS if way.label == name)
    z = layouts.fields(0.9, 0)[:1, :4]
    assert way.error_db(z, z)[1] > 100
