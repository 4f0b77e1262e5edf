"""Photographs of any size as tiles of one size: what papers that train on 256 x 256 pictures can be compared on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d
from tqdm import tqdm

from vqcodec.errors import InputError
from vqcodec.training.pictures.picture_set import load_pictures

SIDE = 256
MOST = 2_500
"""Tiles that are taken at most, 490 MB of them; of reduced ones as many more as fit these bytes."""


class _Place(NamedTuple):
    picture: Tensor
    top: int
    left: int

    def pixels(self, reduced: int) -> npt.NDArray[np.uint8]:
        """Return the tile at this place uint8 [256 / reduced, 256 / reduced, 3]."""
        tile = self.picture[:, self.top : self.top + SIDE, self.left : self.left + SIDE]
        if reduced > 1:
            tile = avg_pool2d(tile.float(), reduced).round().to(torch.uint8)
        return tile.permute(1, 2, 0).numpy()


def load_tiles(folder: Path, reduced: int = 1) -> npt.NDArray[np.uint8]:
    """Cut the pictures of a folder (subfolders and .tar shards too) into tiles uint8 [N, 256, 256, 3].

    From the top left of each picture, as many as fit, row by row; what is left of a picture at the right and
    below is not used. Of more than MOST tiles every so many-th is taken, so that all pictures keep their share.
    `reduced` is a whole number that divides 256: pixels of a tile are means of so many along each side.
    Pictures that are too small are skipped and counted on stderr; InputError where there is nothing else.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; make it, with photographs of {SIDE} x {SIDE} pixels or more in it")
    pictures = load_pictures([folder], torch.device("cpu")).pictures
    places = [place for picture in pictures for place in _places(picture)]
    if not places:
        raise InputError(f"{folder} has no picture of {SIDE} x {SIDE} pixels or more; put larger ones there")
    small = sum(min(picture.shape[1:]) < SIDE for picture in pictures)
    if small:
        said = f"skipped {small} of {len(pictures)} pictures of {folder}, which are smaller than {SIDE} x {SIDE}"
        tqdm.write(said, file=sys.stderr)
    count, side = min(len(places), MOST * reduced**2), SIDE // reduced
    tiles = np.empty((count, side, side, 3), np.uint8)
    for i in range(count):
        tiles[i] = places[i * len(places) // count].pixels(reduced)
    return tiles


def _places(picture: Tensor) -> list[_Place]:
    height, width = picture.shape[1:]
    tops, lefts = (range(0, length - SIDE + 1, SIDE) for length in (height, width))
    return [_Place(picture, top, left) for top in tops for left in lefts]
