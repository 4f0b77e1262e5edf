"""`vqc compare`: one picture through several codecs at the same number of bytes, and a page to look at them.

    picture -> for each codec: the quality whose file is the largest not above the target
            -> pixels, metrics
            -> page.py, templates/compare.*: one page that needs no other file and no network

Sizes are those of real files, and metrics are taken between the original and what such a file decodes to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from vqcodec.choices import MODEL_FOR_LOOKS
from vqcodec.errors import SettingsError, VqcError
from vqcodec.evaluation import metrics
from vqcodec.evaluation.codecs import EvalCodec, check_qualities, open_codec, open_codecs
from vqcodec.exact import model_file
from vqcodec.image import Picture, read_picture
from vqcodec.names import printable

Pixels = npt.NDArray[np.uint8]

DEFAULT_FORMATS = ("jpeg", "webp", "avif", "jpeg2000", "jxl")
_HALF_STEPS = [quality / 2 for quality in range(2, 201)]
_WHOLE_STEPS = [float(quality) for quality in range(1, 101)]


@dataclass(frozen=True, eq=False)
class Shown:
    """One codec's picture: the quality that was found, its file's size, its pixels and metrics by name."""

    label: str
    quality: float
    bytes: int
    pixels: Pixels
    metrics: dict[str, float | None]


@dataclass(frozen=True, eq=False)
class Comparison:
    """A picture with what codecs make of it in at most `limit` bytes, and sentences on what was left out."""

    name: str
    file_bytes: int
    picture: Picture
    limit: int
    metrics: list[metrics.Metric]
    shown: list[Shown] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def bpp(self, size: int) -> float:
        """Return bits per pixel of this picture for a number of bytes."""
        return 8 * size / math.prod(self.picture.pixels.shape[:2])


class TooSmall(SettingsError):
    """No quality of a codec has a file as small as was asked for; `smallest` is the smallest in bytes."""

    def __init__(self, smallest: int) -> None:
        super().__init__(f"no quality gives so small a file; the smallest has {smallest} bytes")
        self.smallest = smallest


def choose_codecs(models: Sequence[str], formats: Sequence[str]) -> tuple[list[EvalCodec], list[str]]:
    """Return codecs, models first, and a sentence on each default format that is not installed.

    Without `models` the default one is taken, unless `formats` name one; without `formats`,
    those that are installed of DEFAULT_FORMATS. One that is asked for and missing raises.
    """
    if not models and not any(map(_is_model, formats)):
        models = [MODEL_FOR_LOOKS]
    notes, usable = [], list(formats)
    for name in () if formats else DEFAULT_FORMATS:
        try:
            open_codec(name)
        except SettingsError as error:
            notes.append(f"left out: {error}")
        else:
            usable.append(name)
    return list(open_codecs([*models, *usable]).values()), notes


def compare(path: Path, codecs: Sequence[EvalCodec], bpp: float, wanted: Sequence[str]) -> Comparison:
    """Return what codecs make of a picture in at most `bpp` bits per pixel; SettingsError if none can."""
    picture = read_picture(path)
    height, width = picture.pixels.shape[:2]
    usable, notes = metrics.usable(wanted)
    notes = [*picture.notes, *notes]
    result = Comparison(
        printable(path.name), path.stat().st_size, picture, int(bpp * width * height / 8), usable, notes=notes
    )
    smallest: list[int] = []
    for codec in tqdm(codecs, desc="codecs", unit="", disable=None):
        try:
            result.shown.append(_show(codec, picture.pixels, result))
        except TooSmall as error:
            smallest.append(error.smallest)
            needed = _up(result.bpp(error.smallest))
            result.notes.append(f"{codec.label} is left out: its smallest file has {needed} bpp")
        except VqcError as error:
            result.notes.append(f"{codec.label} is left out: {error}")
    if not result.shown:
        raise SettingsError(_none_fits(result, bpp, smallest))
    return result


def largest_within(encode: Callable[[float], bytes], qualities: Sequence[float], limit: int) -> tuple[float, bytes]:
    """Return the quality and file whose size is the largest not above `limit`, by bisection; or raise TooSmall.

    `qualities` ascend, and sizes with them, but for small steps back.
    """
    best: tuple[float, bytes] | None = None
    low, high, data = 0, len(qualities), b""
    while low < high:
        middle = (low + high) // 2
        data = encode(qualities[middle])
        if len(data) > limit:
            high = middle
            continue
        low = middle + 1
        if best is None or len(data) >= len(best[1]):
            best = qualities[middle], data
    if best is None:
        raise TooSmall(len(data))
    return best


def qualities_of(codec: EvalCodec) -> list[float]:
    """Return all qualities 1..100 that a codec takes: in half steps, or whole numbers."""
    try:
        check_qualities(codec, _HALF_STEPS[1:2])
    except SettingsError:
        return _WHOLE_STEPS
    return _HALF_STEPS


def _show(codec: EvalCodec, pixels: Pixels, comparison: Comparison) -> Shown:
    quality, data = largest_within(lambda q: codec.encode(pixels, q), qualities_of(codec), comparison.limit)
    decoded = codec.decode(data)
    values = metrics.compare([metric.name for metric in comparison.metrics], pixels, decoded)
    return Shown(codec.label, quality, len(data), decoded, values)


def _none_fits(result: Comparison, bpp: float, smallest: list[int]) -> str:
    if not smallest:
        return f"no codec can encode {result.name}: {'; '.join(result.notes)}"
    reachable = _up(result.bpp(min(smallest)))
    return f"no codec reaches {bpp:g} bits per pixel with {result.name}; the smallest reachable is {reachable}"


def _up(bpp: float) -> str:
    """Return bits per pixel with three decimals, rounded up, so that asking for them succeeds."""
    return f"{math.ceil(1000 * bpp) / 1000:.3f}"


def _is_model(name: str) -> bool:
    return name.endswith(".safetensors") or name in [path.stem for path in model_file.shipped()]
