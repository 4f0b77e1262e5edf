"""`vqc compare --blind`: pairs of codings of one size, for people who do not know which is whose.

    pictures x codecs -> the files of each near the wanted size
                      -> for each pair of codecs the two files whose sizes differ least, by at most MOST_APART
                      -> blind_page.py, templates/blind.*: one page that asks, and saves the answers as JSON

Which of two codings is nearer to the original is the question of BT.500's paired comparison. Its answers become a
ranking by benchmarks/ranking.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from pathlib import Path

from tqdm import tqdm

from vqcodec.errors import SettingsError, VqcError
from vqcodec.evaluation.codecs import EvalCodec
from vqcodec.evaluation.compare.run import Pixels, TooSmall, largest_within, qualities_of
from vqcodec.image import Picture, read_picture
from vqcodec.names import printable

MOST_APART = 0.01
"""By what share the sizes of a pair's files differ at most."""
_WINDOW = 0.06
"""Files whose size differs from what is wanted by at most this share are tried."""


@dataclass(frozen=True, eq=False)
class Coding:
    """What a codec makes of a picture: its label, quality, file size, and pixels uint8 [H, W, 3]."""

    label: str
    quality: float
    bytes: int
    pixels: Pixels


@dataclass(frozen=True, eq=False)
class Questions:
    """The pairs of codings of one picture."""

    name: str
    picture: Picture
    pairs: list[tuple[Coding, Coding]] = field(default_factory=list)


class _Files:
    """The files that a codec makes of pixels, each made once."""

    def __init__(self, codec: EvalCodec, pixels: Pixels) -> None:
        self.codec, self.pixels, self.qualities = codec, pixels, qualities_of(codec)
        self._made: dict[float, bytes] = {}
        self._shown: dict[float, Coding] = {}

    def at(self, quality: float) -> bytes:
        """Return the file of a quality."""
        if quality not in self._made:
            self._made[quality] = self.codec.encode(self.pixels, quality)
        return self._made[quality]

    def near(self, size: int) -> dict[float, int]:
        """Return sizes by quality of those near `size`, and of the largest not above it; TooSmall where none is."""
        start = self.qualities.index(largest_within(self.at, self.qualities, size)[0])
        found = {self.qualities[start]: len(self.at(self.qualities[start]))}
        for step in (-1, 1):
            number = start + step
            while 0 <= number < len(self.qualities):
                quality = self.qualities[number]
                if abs(len(self.at(quality)) / size - 1) > _WINDOW:
                    break
                found[quality] = len(self.at(quality))
                number += step
        return found

    def coding(self, quality: float) -> Coding:
        """Return the file of a quality, decoded."""
        if quality not in self._shown:
            data = self.at(quality)
            self._shown[quality] = Coding(self.codec.label, quality, len(data), self.codec.decode(data))
        return self._shown[quality]


def questions(paths: Sequence[Path], codecs: Sequence[EvalCodec], bpp: float) -> tuple[list[Questions], list[str]]:
    """Return pairs of codings of about `bpp` bits per pixel, and sentences on what was left out.

    SettingsError for fewer than two codecs, and where no pair is left.
    """
    if len(codecs) < 2:
        raise SettingsError("a blind comparison needs two codecs; give more --codec or --model")
    found, notes = [], list[str]()
    with tqdm(total=len(paths) * len(codecs), desc="codecs", unit="", disable=None) as bar:
        for path in paths:
            picture = read_picture(path)
            asked = Questions(printable(path.name), picture)
            notes.extend(f"{asked.name}: {note}" for note in picture.notes)
            size = round(bpp * math.prod(picture.pixels.shape[:2]) / 8)
            files = [_Files(codec, picture.pixels) for codec in codecs]
            asked.pairs.extend(_pairs(asked.name, files, size, notes, bar))
            found.append(asked)
    if not any(asked.pairs for asked in found):
        raise SettingsError(f"no two codecs have files of the same size at {bpp:g} bits per pixel; {'; '.join(notes)}")
    return [asked for asked in found if asked.pairs], notes


def _pairs(name: str, files: list[_Files], size: int, notes: list[str], bar: tqdm) -> list[tuple[Coding, Coding]]:
    """Return the pairs of one picture; what cannot be had is said in `notes`."""
    usable: list[tuple[_Files, dict[float, int]]] = []
    for one in files:
        try:
            usable.append((one, one.near(size)))
        except TooSmall as error:
            notes.append(f"{name}: {one.codec.label} is left out: its smallest file has {error.smallest:,} bytes")
        except VqcError as error:
            notes.append(f"{name}: {one.codec.label} is left out: {error}")
        bar.update()
    pairs = []
    for (a, sizes_a), (b, sizes_b) in combinations(usable, 2):
        share, quality_a, quality_b = _nearest(sizes_a, sizes_b, size)
        if share <= MOST_APART:
            pairs.append((a.coding(quality_a), b.coding(quality_b)))
        else:
            labels = f"{a.codec.label} and {b.codec.label}"
            notes.append(f"{name}: {labels} have no files of the same size near {size:,} bytes ({share:.1%} apart)")
    return pairs


def _nearest(first: dict[float, int], second: dict[float, int], size: int) -> tuple[float, float, float]:
    """Return by how much two files differ, and their qualities: the nearest to `size` of those that are near enough."""

    def order(pair: tuple[float, float]) -> tuple[float, float]:
        a, b = first[pair[0]], second[pair[1]]
        return max(MOST_APART, apart(a, b)), abs(math.log(a * b / size**2))

    a, b = min(product(first, second), key=order)
    return apart(first[a], second[b]), a, b


def apart(a: int, b: int) -> float:
    """Return by what share of the smaller one two sizes differ."""
    return max(a, b) / min(a, b) - 1
