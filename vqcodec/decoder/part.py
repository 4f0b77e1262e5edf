"""What of a picture is wanted: a box of it, a thumbnail, or both."""

from __future__ import annotations

import operator
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vqcodec.decoder.showing import Shower, memory_errors, whole
from vqcodec.errors import SettingsError
from vqcodec.exact.bitstream.container import Container
from vqcodec.exact.headers import Size, size_of
from vqcodec.exact.indices import decode_codes
from vqcodec.exact.model_file import Metadata
from vqcodec.exact.priors import Prior
from vqcodec.exact.stored import decode_overlay, decode_pixels
from vqcodec.exact.tiles import Rectangle
from vqcodec.heap import trim
from vqcodec.image import Picture, Strips, part_with, resized, weighted_part

Box = Sequence[int]
"""Left, upper, right and lower as Pillow has them: right and lower are the first that are not meant."""


class Part(NamedTuple):
    """A box of a picture, None for all of it; made smaller to so many pixels on its longest side, None for as it is."""

    crop: Box | None = None
    thumbnail: int | None = None

    def window(self, size: Size) -> Rectangle:
        """Return the pixels that are meant; SettingsError where a picture has not all of them, or none are meant."""
        if self.thumbnail is not None:
            _check_most(self.thumbnail)
        return whole(size) if self.crop is None else _window(self.crop, size)

    def grid(self, window: Rectangle) -> tuple[int, int]:
        """Return the height and width at which a window is shown."""
        longest = max(window.grid)
        if self.thumbnail is None or longest <= self.thumbnail:
            return window.grid
        height, width = (max(1, round(side * self.thumbnail / longest)) for side in window.grid)
        return height, width


WHOLE = Part()


def picture_of_part(parsed: Container, metadata: Metadata, prior: Prior, shower: Shower, part: Part) -> Picture:
    """Return a part of the picture in a parsed file, of which only the tiles that it needs are decoded."""
    size = size_of(parsed)
    window = part.window(size)
    with memory_errors(size):
        with closing(decode_codes(parsed, metadata, prior, shower.needed(window, size))) as codes:
            pixels = shower.show(codes, window, size)
        trim()  # the last codes, before whoever writes the picture takes as much as it has
        place, grid = window.slices(), part.grid(window)
        overlay = decode_overlay(parsed)
        if overlay is not None:
            overlay.lay(pixels, place)
            return weighted_part(pixels, parsed.ancillary, place, grid)
        return part_with(resized(pixels, grid), parsed.ancillary, place)


def comes_in_strips(parsed: Container, part: Part) -> bool:
    """Return whether a part of the picture in a parsed file comes in strips: tiled, not halved, nothing laid over."""
    is_plain = parsed.pixels is None and parsed.overlay is None and not parsed.has_alpha and not parsed.is_halved
    return is_plain and parsed.header.tile > 0 and part.thumbnail is None


def strips_of_part(parsed: Container, metadata: Metadata, prior: Prior, shower: Shower, part: Part) -> Strips:
    """Return the same part as `picture_of_part`, for which `comes_in_strips` is true, as strips yet to be decoded."""
    size = size_of(parsed)
    window = part.window(size)

    def pixels() -> Generator[npt.NDArray[np.uint8], None, None]:
        with memory_errors(size), closing(decode_codes(parsed, metadata, prior, shower.needed(window, size))) as codes:
            yield from shower.strips(codes, window, size)

    return Strips(pixels(), window.grid, parsed.ancillary)


def stored_picture_of_part(parsed: Container, metadata: Metadata, part: Part) -> Picture:
    """Return a part of the picture in a parsed file that has its pixels without loss, all of which are decoded."""
    size = size_of(parsed)
    window = part.window(size)
    with memory_errors(size):
        place = window.slices()
        return weighted_part(decode_pixels(parsed, metadata)[place], parsed.ancillary, place, part.grid(window))


def _check_most(most: int) -> None:
    try:
        operator.index(most)
    except TypeError as error:
        raise SettingsError(f"a thumbnail of {most} pixels is no whole number of them") from error
    if most < 1:
        raise SettingsError(f"a thumbnail of {most} pixels is empty; at least 1 is needed")


def _window(crop: Box, size: Size) -> Rectangle:
    try:
        left, upper, right, lower = map(operator.index, crop)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"the crop {crop!r} is not four whole numbers: left, upper, right, lower") from error
    width, height = right - left, lower - upper
    if width < 1 or height < 1:
        raise SettingsError(f"the crop {width} x {height} is empty; at least 1 x 1 pixels are needed")
    if left < 0 or upper < 0 or right > size.width or lower > size.height:
        raise SettingsError(
            f"the crop {width} x {height} at ({left}, {upper}) is not inside the picture of "
            f"{size.width} x {size.height} pixels"
        )
    return Rectangle(upper, lower, left, right)
