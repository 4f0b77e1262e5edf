"""What a data set's pictures take without loss as PNG and WebP, one file a picture."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from vqcodec.evaluation.pillow_codec import PillowCodec

_ANY_QUALITY = 100.0


class Lossless(PillowCodec):
    """A format without loss, which has no quality."""

    def quality_options(self, quality: float) -> dict[str, Any]:
        """Return no options."""
        return {}


class Png(Lossless):
    """PNG with deflate at its best effort."""

    name, label, format, library = "png", "PNG", "PNG", "zlib"
    options = MappingProxyType({"optimize": True})


class LosslessWebP(Lossless):
    """Lossless WebP by its usual method, which makes pictures of 32 x 32 smaller than the slower ones do."""

    name, label, format, library = "webp", "lossless WebP", "WEBP", "webp"
    options = MappingProxyType({"lossless": True, "quality": 100, "method": 4})


FORMATS = (Png, LosslessWebP)


def mean_bytes(pixels: npt.NDArray[np.uint8]) -> dict[str, float]:
    """Return the mean size of a file by format for pixels uint8 [N, H, W, C]; gray ones are stored as gray."""
    pictures = pixels[..., 0] if pixels.shape[3] == 1 else pixels
    sizes = dict.fromkeys((kind.name for kind in FORMATS), 0)
    codecs = [kind() for kind in FORMATS]
    for picture in tqdm(pictures, desc="lossless formats", unit="picture", leave=False, disable=None):
        for codec in codecs:
            sizes[codec.name] += len(codec.encode(picture, _ANY_QUALITY))
    return {name: size / len(pictures) for name, size in sizes.items()}
