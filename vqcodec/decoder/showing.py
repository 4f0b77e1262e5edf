"""The tiles of pixels that a synthesis makes of what indices stand for, whatever computes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from vqcodec.errors import InputError
from vqcodec.exact.indices import Size, latent_grid
from vqcodec.exact.tiles import tiles_of

SYNTHESIS_TILE = 128
"""Side in latents of the tiles that are made at a time: with a margin of 10 a third more is computed than is shown."""

Synthesis = Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]
"""Codes of a rectangle [d, h, w] -> its picture float32 [3, stride h, stride w], about 0..1."""


def show(
    codes: npt.NDArray[Any], size: Size, synthesis: Synthesis, stride: int, margin: int | None, factor: int
) -> npt.NDArray[np.uint8]:
    """Return pixels uint8 [H, W, 3] for Choice.codes of a whole picture.

    The synthesis goes tile by tile, whether or not the file is cut: its memory is what limits a decoder. `margin` is
    how many latents around a tile it sees, None for all; `factor` how many codes a latent has on each side.
    """
    grid = latent_grid(size.height, size.width, stride)
    pixels = np.empty((size.height, size.width, 3), np.uint8)
    for tile in tiles_of(grid, 0 if margin is None else SYNTHESIS_TILE):
        seen = tile.widened(grid, margin or 0)
        x = synthesis(seen.of(codes, factor))[(..., *tile.within(seen).slices(stride))]
        place = pixels[tile.slices(stride)]
        x = x[:, : place.shape[0], : place.shape[1]].transpose(1, 2, 0)
        place[:] = np.clip(np.rint(x * 255.0), 0, 255)
    return pixels


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
