"""Index tensors as sequences: row after row, and at each place of the grid plane after plane."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from vqcodec.choices import DEFAULT_QUALITY
from vqcodec.codec import Codec
from vqcodec.errors import SettingsError
from vqcodec.exact.priors import StaticPrior
from vqcodec.generation.transformer import MOST_PLACES, Sizes
from vqcodec.training.pictures.images import to_pictures
from vqcodec.training.pictures.large_sets import PictureFiles

Pixels = npt.NDArray[np.uint8]
_MOST_AT_ONCE, _PIXELS_AT_ONCE = 250, 1 << 18
"""How many pictures a network sees at once, and how many pixels: of VQGAN's width an activation of these is 134 MB."""


def to_sequences(indices: Tensor) -> Tensor:
    """Return sequences [B, h' * w' * P] of indices [B, P, h', w']."""
    return indices.movedim(1, -1).flatten(1)


def to_indices(sequences: Tensor, planes: int, grid: tuple[int, int]) -> Tensor:
    """Return the indices [B, P, h', w'] of sequences [B, h' * w' * P]."""
    return sequences.view(len(sequences), *grid, planes).movedim(-1, 1)


def grid_of(codec: Codec, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the grid h', w' of the indices of pictures [N, H, W, C]; SettingsError where they are no sequences.

    Those of a context prior say where a latent lies around its prediction, so that nothing stands for itself.
    """
    settings, stride = codec.quantizer.settings, codec.metadata.stride
    if not isinstance(codec.prior, StaticPrior) or codec.network.has_rates:
        raise SettingsError(
            f"indices of the model {codec.metadata.name} depend on a quality and its prior; generate with one of "
            "vqc train --network vqvae or vqgan, or of vqc reproduce"
        )
    if shape[1] % stride or shape[2] % stride:
        raise SettingsError(f"pictures of {shape[2]} x {shape[1]} are no whole latents of {stride} pixels; crop them")
    grid = shape[1] // stride * settings.grid_factor, shape[2] // stride * settings.grid_factor
    places = grid[0] * grid[1] * settings.planes
    if places > MOST_PLACES:
        raise SettingsError(
            f"a picture has {places} indices, and a generator at most {MOST_PLACES}; choose a model of fewer "
            "(a smaller m) or smaller pictures"
        )
    return grid


def sizes_of(codec: Codec, shape: tuple[int, ...], **network: int) -> Sizes:
    """Return the sizes of a generator of pictures [N, H, W, C]."""
    settings, grid = codec.quantizer.settings, grid_of(codec, shape)
    tables = settings.planes if settings.layout == "own" else 1
    return Sizes(settings.K, grid[0] * grid[1] * settings.planes, tables, **network)


@torch.inference_mode()
def indices_of(codec: Codec, pixels: Pixels | PictureFiles) -> Tensor:
    """Return the indices int64 [N, P, h', w'] of pictures uint8 [N, H, W, C]."""
    found = []
    count = at_once(pixels.shape[1] * pixels.shape[2])
    for start in tqdm(range(0, len(pixels), count), desc="indices", unit="batch", leave=False, disable=None):
        x = to_pictures(torch.from_numpy(pixels[start : start + count]))
        found.append(codec.quantizer.encode(codec.network.analysis(x, _qualities(x))))
    return torch.cat(found)


@torch.inference_mode()
def pictures_of(codec: Codec, indices: Tensor) -> Pixels:
    """Return the pixels uint8 [N, H, W, 3] that a decoder shows for indices [N, P, h', w']."""
    found, factor = [], codec.quantizer.settings.grid_factor
    count = at_once(indices[0, 0].numel() * codec.metadata.stride**2 // factor**2)
    for start in range(0, len(indices), count):
        z = codec.quantizer.decode(indices[start : start + count])
        y = codec.network.synthesis(z, _qualities(z))
        found.append((y * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy())
    return np.concatenate(found)


def at_once(pixels: int) -> int:
    """Return how many pictures of so many pixels a network sees at once."""
    return max(1, min(_MOST_AT_ONCE, _PIXELS_AT_ONCE // pixels))


def _qualities(batch: Tensor) -> Tensor:
    return torch.full((len(batch),), float(DEFAULT_QUALITY))
