"""What a model does with a whole test set: how near its pictures come back, which codevectors it uses, what it costs.

Everything is of the written model file, in eval mode: the pictures are those that a decoder shows for the very indices
that the counted files hold.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from vqcodec.choices import DEFAULT_QUALITY
from vqcodec.codec import Codec
from vqcodec.evaluation.analyze.usage import count, entropy, sharing, unit_counts
from vqcodec.exact.accounting import bits_per_pixel, index_storage
from vqcodec.exact.bitstream import container
from vqcodec.exact.headers import Size
from vqcodec.exact.indices import PictureChoice
from vqcodec.exact.priors.tables import Choice
from vqcodec.quantizers import QuantizerSettings
from vqcodec.reproduction import scores
from vqcodec.training.pictures.images import to_pictures
from vqcodec.training.pictures.large_sets import PictureFiles

Pixels = npt.NDArray[np.uint8]
BATCH = 250
BATCH_PIXELS = 2**18
"""What is coded at once: at most so many pictures, and pixels unless one picture has more."""


class Reconstruction(NamedTuple):
    """Pictures and what a decoder shows, both float32 [B, 3, H, W] in [0, 1], and the indices uint16 [B, P, h', w']."""

    pictures: Tensor
    shown: Tensor
    indices: npt.NDArray[np.uint16]


def measure(model: Path, pixels: Pixels | PictureFiles) -> dict[str, Any]:
    """Return the figures of a model file on pictures uint8 [N, H, W, C] whose sides are multiples of its stride.

    lossless, papers: means of scores.NAMES on the decoder's pixels, and the papers' way; usage and the rest:
    see `_usage`; bytes: mean size of a .vqc file; bpp: see `_bpp`.
    """
    codec = Codec.open(model)
    settings = codec.quantizer.settings
    counts = np.zeros((settings.planes, settings.K), np.int64)
    totals = {way: dict.fromkeys(scores.NAMES, 0.0) for way in ("lossless", "papers")}
    sizes = np.zeros(2)
    example = b""
    batch = _batch(pixels)
    for start in tqdm(range(0, len(pixels), batch), desc=f"measuring {model.stem}", leave=False, disable=None):
        coded = _code(codec, pixels[start : start + batch])
        counts += _counted(coded.indices, settings.K)
        for way, found in _scores(coded).items():
            for name, values in found.items():
                totals[way][name] += float(values.sum())
        for indices in coded.indices:
            example = _file(codec, indices, pixels.shape[1:3])
            sizes += len(example), len(container.read(example).indices)
    means = {way: {name: total / len(pixels) for name, total in found.items()} for way, found in totals.items()}
    size = sizes / len(pixels)
    return {
        "pictures": len(pixels),
        **means,
        **_usage(counts, settings),
        "bytes": float(size[0]),
        "bpp": _bpp(codec, example, size),
    }


def _batch(pixels: Pixels | PictureFiles) -> int:
    return min(BATCH, max(1, BATCH_PIXELS // math.prod(pixels.shape[1:3])))


@torch.inference_mode()
def _code(codec: Codec, pixels: Pixels) -> Reconstruction:
    pictures = to_pictures(torch.from_numpy(pixels))
    quality = torch.full((len(pixels),), DEFAULT_QUALITY)
    indices = codec.quantizer.encode(codec.network.analysis(pictures, quality))
    shown = codec.network.synthesis(codec.quantizer.decode(indices), quality)
    return Reconstruction(pictures, shown, indices.numpy().astype(np.uint16))


def _scores(coded: Reconstruction) -> dict[str, dict[str, Tensor]]:
    original = scores.papers_pixels(scores.papers_original(coded.pictures))
    return {
        "lossless": scores.scores(scores.rounded(coded.pictures), scores.rounded(coded.shown)),
        "papers": scores.scores(original, scores.papers_pixels(coded.shown)),
    }


def _counted(indices: npt.NDArray[np.uint16], K: int) -> npt.NDArray[np.int64]:
    """Return counts int64 [P, K] of indices [B, P, h', w']."""
    planes = indices.transpose(1, 0, 2, 3).reshape(indices.shape[1], -1, indices.shape[3])
    return count(planes, K, np.ones(planes.shape, np.bool_))


def _file(codec: Codec, indices: npt.NDArray[np.uint16], size: tuple[int, ...]) -> bytes:
    height, width = size
    grid = indices.shape[1] // codec.metadata.factor, indices.shape[2] // codec.metadata.factor
    choice = Choice(indices, np.zeros(grid, np.uint8), indices)
    return codec.pack(PictureChoice(choice, Size(width, height, DEFAULT_QUALITY)))


def _usage(counts: npt.NDArray[np.int64], settings: QuantizerSettings) -> dict[str, Any]:
    """Return the share of codevectors that are used, the perplexity (of units with codebooks of their own the
    mean), the share that each unit uses, and how many units use each codevector (LooC, Figures 7 and 8)."""
    units = unit_counts(counts, settings.wide)
    own = settings.has_own_codebooks
    books = units if own else units.sum(axis=0, keepdims=True)
    return {
        "usage": float((books > 0).mean()),
        "perplexity": float((2 ** entropy(books)).mean()),
        "unit_usage": (units > 0).mean(axis=1).tolist(),
        "units_per_codevector": [] if own or len(units) == 1 else sharing(units)[0],
    }


def _bpp(codec: Codec, example: bytes, size: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return bits per pixel: of indices of fixed length as the paper counts and as a decoder needs them, of whole
    files, and of the coded indices in them."""
    parsed = container.read(example)
    storage = index_storage(parsed, codec.metadata, codec.prior)
    bits = {"paper": storage.paper_bits, "decoder": storage.decoder_bits, "file": 8 * size[0], "payload": 8 * size[1]}
    return {name: float(bits_per_pixel(value, parsed.header)) for name, value in bits.items()}
