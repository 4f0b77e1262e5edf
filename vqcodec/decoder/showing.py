"""The pixels that a synthesis makes of what indices stand for, whatever computes it, and no more than are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vqcodec.errors import InputError
from vqcodec.exact.headers import Size, latent_grid
from vqcodec.exact.indices import join
from vqcodec.exact.tiles import Rectangle, Tile, tiles_of
from vqcodec.heap import trim
from vqcodec.image import resized_in_bands

SYNTHESIS_TILE = 64
"""Side in latents of the tiles that are made at a time; codes are held of as many rows. Wider ones are no quicker."""

_LOBES = 4
"""Pixels beside those that a window covers at half its size which count for it: three lobes of Lanczos and a half."""

Synthesis = Callable[[npt.NDArray[Any], Rectangle], npt.NDArray[np.float32]]
"""Codes of a rectangle [d, h, w], and the latents in it that are wanted -> their picture float32, about 0..1."""

Codes = Iterable[tuple[Tile, npt.NDArray[Any]]]
"""The Choice.codes of tiles in raster order; they may come one by one."""


class Shower(NamedTuple):
    """A synthesis, and what it sees.

    `stride`: pixels to a latent; `margin`: how many latents around it a pixel depends on, None for all; `factor`: codes
    to a latent on each side.
    """

    synthesis: Synthesis
    stride: int
    margin: int | None
    factor: int

    def needed(self, window: Rectangle, size: Size) -> Rectangle:
        """Return the latents that the pixels of a window depend on."""
        grid = latent_grid(size, self.stride)
        if self.margin is None:
            return tiles_of(grid, 0)[0]
        return _coded(window, size).covered(self.stride).widened(grid, self.margin)

    def show(self, codes: Codes, window: Rectangle, size: Size) -> npt.NDArray[np.uint8]:
        """Return pixels uint8 [H, W, 3] of a window for the codes of the tiles that it needs.

        The synthesis goes tile by tile, whether or not the file is cut: its memory is what limits a decoder. For the
        same reason codes are let go as soon as all that sees them is shown.
        """
        seen = _coded(window, size)
        pixels = np.empty((*seen.grid, 3), np.uint8)
        for place, tile in self._tiles(codes, seen, size.coded):
            pixels[place.slices()] = tile
        return doubled(pixels, seen, window) if size.is_halved else pixels

    def strips(self, codes: Codes, window: Rectangle, size: Size) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the same pixels in strips [h, W, 3] from above, each a row of the synthesis' tiles; never halved."""
        width = window.grid[1]
        for place, tile in self._tiles(codes, window, size):
            if place.left == 0:
                strip = np.empty((place.grid[0], width, 3), np.uint8)
            strip[:, place.left : place.right] = tile
            if place.right == width:
                yield strip

    def _tiles(self, codes: Codes, window: Rectangle, size: Size) -> Iterator[tuple[Rectangle, npt.NDArray[np.uint8]]]:
        """Yield the pixels uint8 [h, w, 3] of the synthesis' tiles in raster order, and where in a window each is."""
        held, covered = _Held(codes, self.factor), window.covered(self.stride)
        side = 0 if self.margin is None else SYNTHESIS_TILE
        for tile in tiles_of(covered.grid, side):
            inner = tile.moved(covered.top, covered.left)
            shown = inner.enlarged(self.stride).meet(window)
            seen = self.needed(shown, size)
            x = self.synthesis(held.of(seen), inner.within(seen))
            x = shown.within(inner.enlarged(self.stride)).of(x)
            x *= np.float32(255)
            np.clip(np.rint(x, out=x), 0, 255, out=x)
            pixels = x.transpose(1, 2, 0).astype(np.uint8, order="C")
            del x
            trim()
            yield shown.within(window), pixels


class _Held:
    """The codes of tiles that have come and may be asked for again."""

    def __init__(self, codes: Codes, factor: int) -> None:
        self.coming, self.factor = iter(codes), factor
        self.tiles: list[tuple[Tile, npt.NDArray[Any]]] = []

    def of(self, seen: Rectangle) -> npt.NDArray[Any]:
        """Return the codes of a rectangle; nothing above its upper edge is asked for after it."""
        self.tiles = [self._below(seen.top, *part) for part in self.tiles if part[0].bottom > seen.top]
        while not self.tiles or not _reaches(self.tiles[-1][0], seen):
            tile, codes = next(self.coming)
            if tile.bottom > seen.top:
                self.tiles.append((tile, codes))
        return join(seen, [part for part in self.tiles if part[0].meets(seen)])

    def _below(self, top: int, tile: Tile, codes: npt.NDArray[Any]) -> tuple[Tile, npt.NDArray[Any]]:
        """Return what of a tile's codes lies below a row."""
        if tile.top >= top:
            return tile, codes
        rest = replace(tile, top=top)
        return rest, rest.within(tile).of(codes, self.factor).copy()


def _reaches(last: Tile, seen: Rectangle) -> bool:
    """Whether the tiles up to a last one cover the lower right corner of a rectangle."""
    return last.bottom >= seen.bottom and last.right >= seen.right


def _coded(window: Rectangle, size: Size) -> Rectangle:
    """Return what of the picture that was coded a window shows."""
    if not size.is_halved:
        return window
    return window.covered(2).widened((size.coded.height, size.coded.width), _LOBES)


def doubled(pixels: npt.NDArray[np.uint8], seen: Rectangle, window: Rectangle) -> npt.NDArray[np.uint8]:
    """Return pixels uint8 [h, w, 3] of a window of a picture, of which `pixels` are what is seen at half its size."""
    left, right = (side / 2 - seen.left for side in (window.left, window.right))
    upper, lower = (side / 2 - seen.top for side in (window.top, window.bottom))
    return resized_in_bands(pixels, window.grid, (left, upper, right, lower))


def whole(size: Size) -> Rectangle:
    """Return the window of all pixels."""
    return Rectangle(0, size.height, 0, size.width)


@contextmanager
def memory_errors(size: Size) -> Iterator[None]:
    """Say in a sentence that a picture is too large for this machine, however torch or NumPy put it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        raise InputError(
            f"there is not enough memory for {size.width} x {size.height} pixels; make the picture smaller"
        ) from error
