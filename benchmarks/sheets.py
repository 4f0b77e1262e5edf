"""A white image of pictures in rows and columns, each with a caption under it; strip.py and looks_sheet.py fill it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Pixels = npt.NDArray[np.uint8]


class Cell(NamedTuple):
    """Pixels of what is shown of a picture, of the caption under it, beside it to the next one, and of letters."""

    width: int
    height: int
    caption: int
    gap: int
    letters: int

    def middle(self, pixels: Pixels) -> Pixels:
        """The middle of a picture uint8 [H, W, 3], or all of it along a side that is smaller than what is shown."""
        height, width = pixels.shape[:2]
        top, left = max(0, (height - self.height) // 2), max(0, (width - self.width) // 2)
        return pixels[top : top + self.height, left : left + self.width]


class Sheet:
    """The image, at first without pictures."""

    def __init__(self, rows: int, columns: int, cell: Cell) -> None:
        self._cell = cell
        size = columns * (cell.width + cell.gap) - cell.gap, rows * (cell.height + cell.caption)
        self.image = Image.new("RGB", size, "white")
        self._draw, self._font = ImageDraw.Draw(self.image), ImageFont.load_default(cell.letters)

    def put(self, row: int, column: int, pixels: Pixels, caption: str, color: str = "black") -> None:
        """Show the middle of a picture with a caption under it."""
        cell = self._cell
        left, top = column * (cell.width + cell.gap), row * (cell.height + cell.caption)
        self.image.paste(Image.fromarray(cell.middle(pixels)), (left, top))
        self._draw.text((left + 2, top + cell.height + 2), caption, color, self._font)
