"""Thumbnails from the strongest channels and the linear path of the `photo` network alone.

The mean of a block, or of a cell of it, is a linear function of the latents but for what the convolutional branch adds,
which is detail. A few channels say nearly all of it, and a context prior codes these first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vqcodec.decoder.part import Part
from vqcodec.decoder.showing import memory_errors
from vqcodec.exact.bitstream.container import Container
from vqcodec.exact.headers import size_of
from vqcodec.exact.indices import decode_first_codes
from vqcodec.exact.model_file import Metadata
from vqcodec.exact.priors import Prior
from vqcodec.exact.stored import decode_overlay
from vqcodec.image import Picture, laid_over, part_with, resized
from vqcodec.transform import Array, LinearPath

_CELLS = (1, 2, 4)
"""A block is drawn as so many cells on each side. Smaller ones have detail that the branch makes."""
_LEFT_OUT = 15.0
"""The mean squared error in gray levels that channels which are left out may cost in these cells: 36 dB."""


def sketch_of_part(parsed: Container, metadata: Metadata, prior: Prior, path: LinearPath, part: Part) -> Picture | None:
    """Return a part of the picture in a parsed file, nearly as it would be; None where it is too large for this.

    Of the tiles that it needs only the first channels are decoded, so that their checksums are not checked. Under alpha
    a sketch has no colors that could go with those of an overlay, so then there is none; nor of what is coded at half
    its size, which takes a quarter of the time.
    """
    size = size_of(parsed)
    window = part.window(size)
    grid = part.grid(window)
    stride = path.basis.shape[2]
    cells = next((n for n in _CELLS if max(grid) * stride <= n * max(window.grid)), None)
    if cells is None or size.is_halved or (parsed.overlay is not None and parsed.has_alpha):
        return None
    with memory_errors(size):
        held = window.covered(stride)
        codes = decode_first_codes(parsed, metadata, prior, held, _channels(path, cells))
        # Drawn finer than it is shown, so that there is something to make smaller.
        finer = max(_CELLS[-1], 2 * cells)
        drawn = _drawn(codes, _means(path.basis, finer)[: len(codes)] / np.float32(prior.codes_per_step))
        box = window.within(held.enlarged(stride))
        left, upper, right, lower = (n * finer / stride for n in (box.left, box.top, box.right, box.bottom))
        pixels, overlay = resized(drawn, grid, (left, upper, right, lower)), decode_overlay(parsed)
        if overlay is not None:
            pixels = laid_over(pixels, overlay, window.slices())
        return part_with(pixels, parsed.ancillary, window.slices())


def _channels(path: LinearPath, cells: int) -> int:
    """Return how many channels a picture of so many cells to a block needs."""
    energy = np.square(255 * _means(path.basis, cells)).mean((1, 2, 3)) * np.square(path.deviation)
    left_out = np.cumsum(energy[::-1])[::-1]
    return max(1, int((left_out > _LEFT_OUT).sum()))


def _means(basis: Array, cells: int) -> Array:
    """Return the means [d, 3, cells, cells] of the cells of blocks [d, 3, 16, 16]."""
    side = basis.shape[2] // cells
    means: Array = basis.reshape(len(basis), 3, cells, side, cells, side).mean((3, 5))
    return means


def _drawn(codes: npt.NDArray[np.int16], basis: Array) -> npt.NDArray[np.uint8]:
    """Return pixels uint8 [cells h, cells w, 3] of codes [n, h, w] for a basis [n, 3, cells, cells]."""
    h, w = codes.shape[1:]
    cells = basis.shape[2]
    pixels = np.empty((h, cells, w, cells, 3), np.uint8)
    for y in range(h):  # in float32 all rows together would take more memory than the picture
        x = np.tensordot(codes[:, y].astype(np.float32), basis, (0, 0)) + np.float32(0.5)
        pixels[y] = np.clip(np.rint(255 * x), 0, 255).transpose(2, 0, 3, 1)
    return pixels.reshape(cells * h, cells * w, 3)
