"""Samples of more than 8 bits to 8: which value is black and which is white is read from the file's tags."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from vqcodec.errors import InputError

_BITS, _PHOTOMETRIC, _LEAST, _MOST, _FORMAT = 258, 262, 340, 341, 339
"""TIFF's tags: BitsPerSample, PhotometricInterpretation, SMinSampleValue, SMaxSampleValue, SampleFormat."""
_WHITE_IS_ZERO, _UNSIGNED, _FLOAT = 0, 1, 3
_WIDE = 32


def tiff_bits(image: Image.Image) -> int:
    """Return the bits of an opened TIFF's widest sample, 0 for other files."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0
    return int(max(image.tag_v2.get(_BITS, (1,))))


def to_eight_bits(image: Image.Image, opened: Image.Image, name: str) -> Image.Image:
    """Return a wide single-channel image as "L" (or "LA"), others as they are; `opened` is the file it is of.

    InputError where nothing says which sample is white.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    samples = np.asarray(image)
    black, white = _range(opened, samples, name)
    if isinstance(opened, TiffImagePlugin.TiffImageFile) and tiff_bits(opened) == _WIDE and samples.dtype == np.int32:
        samples = samples.view(np.uint32) if _sample_format(opened) == _UNSIGNED else samples
    if samples.min() < min(black, white) or samples.max() > max(black, white) or not np.isfinite(samples).all():
        raise InputError(
            f"{name} has samples outside {min(black, white):g}..{max(black, white):g}; convert it to 8 or 16 bits first"
        )
    scaled = (samples.astype(np.float64) - black) * 255 / (white - black)
    gray = Image.fromarray(np.floor(scaled + 0.5).astype(np.uint8))
    if "transparency" in image.info:
        gray.putalpha(Image.fromarray(np.where(samples == image.info["transparency"], 0, 255).astype(np.uint8)))
    return gray


def _sample_format(image: TiffImagePlugin.TiffImageFile) -> int:
    return int(image.tag_v2.get(_FORMAT, (_UNSIGNED,))[0])


def _range(image: Image.Image, samples: npt.NDArray[Any], name: str) -> tuple[float, float]:
    """Return the samples that are black and white."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        if samples.dtype.kind == "f":
            raise InputError(f"{name} has floating-point samples, outside 0..65535 as whole numbers; convert it first")
        return 0, 65535
    tags, kind, bits = image.tag_v2, _sample_format(image), tiff_bits(image)
    if _MOST in tags:
        ends = _first(tags.get(_LEAST, 0)), _first(tags[_MOST])
        if not ends[0] < ends[1] < float("inf"):
            raise InputError(f"{name} says that its samples are {ends[0]:g}..{ends[1]:g}; convert it to 8 bits first")
    elif kind == _UNSIGNED:
        ends = 0.0, float((1 << bits) - 1)
    elif kind == _FLOAT and samples.min() >= 0 and samples.max() <= 1:
        ends = 0.0, 1.0
    else:
        words = "floating-point" if kind == _FLOAT else "signed"
        raise InputError(
            f"{name} is a TIFF of {words} samples of {bits} bits that does not say which is white; convert it to "
            "8 or 16 bits without a sign, samples outside 0..65535 cannot be"
        )
    return ends if tags.get(_PHOTOMETRIC) != _WHITE_IS_ZERO else (ends[1], ends[0])


def _first(value: object) -> float:
    return float(value[0] if isinstance(value, tuple) else value)  # type: ignore[arg-type]
