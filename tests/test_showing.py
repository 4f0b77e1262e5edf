"""Pixels are made tile by tile, and codes are let go when all that sees them is shown."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqcodec.decoder import Shower, showing, whole
from vqcodec.exact.indices import Size
from vqcodec.exact.tiles import Rectangle, Tile, tiles_of

STRIDE, MARGIN = 2, 3
Codes = npt.NDArray[np.int16]


def sums(codes: Codes, inner: Rectangle) -> npt.NDArray[np.float32]:
    """A picture in which each latent is the mean of all within the margin, zero beyond the edge."""
    padded = np.pad(codes[0].astype(np.float32), MARGIN)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * MARGIN + 1, 2 * MARGIN + 1))
    means = inner.of(windows.mean((2, 3)))
    return np.broadcast_to(
        means.repeat(STRIDE, 0).repeat(STRIDE, 1), (3, STRIDE * means.shape[0], STRIDE * means.shape[1])
    ).copy()


def shown(codes: Codes, tile: int, window: Rectangle | None = None) -> npt.NDArray[np.uint8]:
    """The pixels of a window, from tiles that come one by one."""
    h, w = codes.shape[1:]
    size, shower = Size(STRIDE * w - 1, STRIDE * h, 50, tile), Shower(sums, STRIDE, MARGIN, 1)
    window = window or whole(size)
    needed = shower.needed(window, size)
    return shower.show([(t, t.of(codes)) for t in tiles_of((h, w), tile) if t.meets(needed)], window, size)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(2, 30), st.integers(1, 12), st.integers(1, 6), st.data())
def test_pixels_do_not_depend_on_tiles(height: int, width: int, tile: int, side: int, data: st.DataObject) -> None:
    codes = np.random.default_rng(height * width).integers(0, 2, (1, height, width), np.int16)
    wanted = shown(codes, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(showing, "SYNTHESIS_TILE", side)
        np.testing.assert_array_equal(shown(codes, tile), wanted)
        top, left = data.draw(st.integers(0, len(wanted) - 1)), data.draw(st.integers(0, wanted.shape[1] - 1))
        window = Rectangle(top, min(len(wanted), top + 9), left, wanted.shape[1])
        np.testing.assert_array_equal(
            shown(codes, tile, window), window.of(wanted.transpose(2, 0, 1)).transpose(1, 2, 0)
        )


def test_codes_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the synthesis makes 4 rows and sees 3 more on each side, three rows of tiles of 4 are held at most."""
    monkeypatch.setattr(showing, "SYNTHESIS_TILE", 4)
    given: list[weakref.ref[Codes]] = []
    most = 0

    def coming() -> Iterator[tuple[Tile, Codes]]:
        nonlocal most
        for tile in tiles_of((80, 16), 4):
            codes = np.zeros((1, *tile.grid), np.int16)
            given.append(weakref.ref(codes))
            most = max(most, sum(one() is not None for one in given))
            yield tile, codes

    Shower(sums, STRIDE, MARGIN, 1).show(coming(), Rectangle(0, 160, 0, 32), Size(32, 160, 50, 4))
    assert most <= 4 * 3 + 1
