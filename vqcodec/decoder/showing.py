"""The pixels that a synthesis makes of what indices stand for, whatever computes it, and no more than are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vqcodec.errors import InputError
from vqcodec.exact.indices import Size, latent_grid
from vqcodec.exact.tiles import Rectangle, tiles_of

SYNTHESIS_TILE = 128
"""Side in latents of the tiles that are made at a time: with a margin of 10 a third more is computed than is shown."""

Synthesis = Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]
"""Codes of a rectangle [d, h, w] -> its picture float32 [3, stride h, stride w], about 0..1."""


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
        grid = latent_grid(size.height, size.width, self.stride)
        if self.margin is None:
            return tiles_of(grid, 0)[0]
        return window.covered(self.stride).widened(grid, self.margin)

    def show(self, codes: npt.NDArray[Any], window: Rectangle, size: Size) -> npt.NDArray[np.uint8]:
        """Return pixels uint8 [H, W, 3] of a window for Choice.codes of the latents that it needs.

        The synthesis goes tile by tile, whether or not the file is cut: its memory is what limits a decoder.
        """
        held, inner = self.needed(window, size), window.covered(self.stride)
        pixels = np.empty((*window.grid, 3), np.uint8)
        for tile in tiles_of(inner.grid, 0 if self.margin is None else SYNTHESIS_TILE):
            shown = tile.moved(inner.top, inner.left).enlarged(self.stride).meet(window)
            seen = self.needed(shown, size)
            x = self.synthesis(seen.within(held).of(codes, self.factor))
            x = shown.within(seen.enlarged(self.stride)).of(x).transpose(1, 2, 0)
            pixels[shown.within(window).slices()] = np.clip(np.rint(x * 255.0), 0, 255)
        return pixels


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
