"""Memory that was freed is given back, where the C library can."""

from __future__ import annotations

import ctypes

import pytest

from vqcodec import heap


def test_freed_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Library:
        malloc_trim = asked.append

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library)
    heap._malloc_trim.cache_clear()
    heap.trim()
    heap._malloc_trim.cache_clear()
    assert asked == [0]


@pytest.mark.parametrize("error", [None, TypeError, OSError])
def test_other_libraries_are_left_alone(error: type[Exception] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: object) -> object:
        if error:
            raise error
        return object()

    monkeypatch.setattr(ctypes, "CDLL", load)
    heap._malloc_trim.cache_clear()
    heap.trim()
    heap._malloc_trim.cache_clear()
