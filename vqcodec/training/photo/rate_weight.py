"""What a bit should count for the encoder of a finished model: measured, because training does not fix it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from vqcodec.codec import Codec
from vqcodec.exact.model_file import Arrays, Metadata
from vqcodec.training.rate.contract import Source

WEIGHTS = (0.09, 0.105, 0.12, 0.135, 0.15)
"""Rate weights to choose from: from below the 0.1155 of high rates to where zeros are cheap."""
FOR_LOOKS = 0.1
"""The rate weight of a model for looks: zeros that are cheap in squared error are seen (docs/lab/looks.md)."""
_QUALITIES = (20.0, 50.0, 80.0)
_CROPS = 8
CODED_CROPS = len(WEIGHTS) * len(_QUALITIES) * _CROPS
"""How many crops are coded to choose."""
# Of its own, so that no other crops of a run are these.
_SEED = 9


def best_rate_weight(metadata: Metadata, arrays: Arrays, source: Source) -> float:
    """Return the one of WEIGHTS with which the default effort needs least bits + lambda 255^2 MSE on crops."""
    crops = source.crops(source.numbers(_SEED), min(_CROPS, source.count))
    pictures = [(255 * x).round().byte().movedim(0, 2).cpu().numpy() for x in crops]
    return min(WEIGHTS, key=lambda weight: _cost(Codec(replace(metadata, rate_weight=weight), arrays), pictures))


def _cost(codec: Codec, pictures: list[npt.NDArray[np.uint8]]) -> float:
    """Return bits + lambda 255^2 MSE of pictures uint8 [H, W, 3], relative to lambda, over all qualities."""
    total = 0.0
    for quality in _QUALITIES:
        weight = codec.transform.rate_lambda(quality)
        for pixels in pictures:
            encoded = codec.encode(pixels, quality)
            error = np.square(codec.decode(encoded) - pixels.astype(np.float64)).mean()
            bits = codec.encoder.bits(encoded.choice, quality)
            # A factor of 4 in lambda doubles bits + lambda * error, roughly: so every quality counts alike.
            total += (bits + weight * error * pixels.shape[0] * pixels.shape[1]) / weight**0.5
    return total
