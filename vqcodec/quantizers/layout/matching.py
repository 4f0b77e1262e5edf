"""How a feature finds its codevector: by distance, by direction, or on a bounded grid.

`l2` takes the nearest codevector. `cosine` takes the one of the most similar direction, but stands
for it with its own length (CVQ-VAE's published code). Codes of unit length (ViT-VQGAN) are `cosine`
with a codebook of unit length. `fsq` bounds the feature by a tanh first (Mentzer et al. 2023,
"Finite Scalar Quantization", section 3.1); the nearest point of its grid is then what rounding gives.
Bounded features and grid are both in units of half the number of levels, rounded down, so they lie within -1..1
as the synthesis of published models expects it.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Match = Literal["l2", "cosine", "fsq"]
# That of the package fsq, whose features these must equal.
_EPSILON = 1e-3


def prepare(x: Tensor, match: Match, levels: tuple[int, ...]) -> Tensor:
    """Return features [..., d_star] as they are compared with the codevectors; `levels` are those of `fsq`."""
    return bound(x, levels) if match == "fsq" else x


def candidates(codebook: Tensor, match: Match) -> Tensor:
    """Return what features are compared with by squared distance, for a codebook [..., K, d_star]."""
    # Among vectors of one length the nearest is the most similar in direction, whatever the feature's length.
    return F.normalize(codebook, dim=-1) if match == "cosine" else codebook


def bound(x: Tensor, levels: tuple[int, ...]) -> Tensor:
    """Return x [..., n] squashed into -1..1 so that the nearest grid point has one of levels[i] values in channel i."""
    count = torch.tensor(levels, dtype=x.dtype, device=x.device)
    half = (count - 1) * (1 + _EPSILON) / 2
    offset = torch.where(count % 2 == 0, 0.5, 0.0)
    return (torch.tanh(x + torch.atanh(offset / half)) * half - offset) / (count // 2)


def grid(levels: tuple[int, ...]) -> Tensor:
    """Return the points float32 [K, n] within -1..1, K the product of the levels; the first channel varies fastest."""
    axes = [(torch.arange(count) - count // 2) / (count // 2) for count in reversed(levels)]
    return torch.cartesian_prod(*axes).reshape(-1, len(levels)).flip(1)
