"""The choice of indices under the static prior: each latent position has a class.

bits: float32 [C, P, K], what index k costs in plane p at a position of class c.
classes: int64 [B, h, w], position classes on the latent grid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vqcodec.choices import RATE_WEIGHT
from vqcodec.encoder.choice import Encoder, Latents
from vqcodec.exact.priors import StaticPrior
from vqcodec.exact.priors.tables import Choice
from vqcodec.pinned import pinned_torch
from vqcodec.quantizers.base import Quantizer

# Classes depend on indices, and indices on classes: the second round has indices chosen under classes.
_CLASS_ROUNDS = 2


def encode_by_class(quantizer: Quantizer, z: Tensor, bits: Tensor, classes: Tensor) -> Tensor:
    """Return indices int64 [B, P, h', w'] for z [B, d, h, w]: least squared error plus weighted bits."""
    z = quantizer.expand(z)
    factor = quantizer.settings.grid_factor
    member = classes.repeat_interleave(factor, 1).repeat_interleave(factor, 2).reshape(-1)
    batch, d, height, width = z.shape
    columns = z.movedim(1, 0).reshape(d, -1)
    indices = torch.empty(quantizer.settings.planes, member.numel(), dtype=torch.int64, device=z.device)
    for c in range(len(bits)):
        places = torch.nonzero(member == c).flatten()
        if len(places) == 0:
            continue
        indices[:, places] = quantizer.encode_grid(columns[None, :, None, places], bits[c])[0, :, 0]
    return indices.reshape(-1, batch, height, width).movedim(0, 1).contiguous()


def class_costs(bits: Tensor, indices: Tensor, factor: int) -> Tensor:
    """Return float32 [B, C, h, w]: the bits of each position's indices [B, P, h', w'] under each class."""
    batch, planes, height, width = indices.shape
    flat = indices.movedim(1, 0).reshape(planes, -1)
    costs = torch.stack([table.gather(1, flat).sum(0) for table in bits])
    cells = costs.reshape(len(bits), batch, height // factor, factor, width // factor, factor)
    return cells.sum((3, 5)).movedim(0, 1)


class StaticEncoder(Encoder):
    """Chooses with a quantizer under the tables that the class of each position names."""

    def __init__(self, prior: StaticPrior, quantizer: Quantizer) -> None:
        self.prior: StaticPrior = prior
        self.quantizer = quantizer

    @pinned_torch()
    @torch.inference_mode()
    def choose(self, z: Latents, quality: float, weight: float) -> Choice:
        """Return what is chosen for z: each position gets its cheapest class; see Encoder.choose."""
        prior, latents = self.prior, torch.from_numpy(np.ascontiguousarray(z))[None]
        bits = torch.from_numpy(prior.table_costs[prior.table_map[prior.row(quality)]])
        chosen, classes = self.quantizer.encode(latents), torch.zeros(1, *z.shape[1:], dtype=torch.int64)
        for _ in range(_CLASS_ROUNDS if prior.classes > 1 else 1):
            costs = class_costs(bits, chosen, prior.factor)[0].numpy()
            classes = torch.from_numpy(prior.choose_classes(costs, quality))[None].long()
            # Without a weight the nearest codevectors stay, and classes only say how they are coded.
            if weight:
                chosen = encode_by_class(self.quantizer, latents, bits * (weight / RATE_WEIGHT), classes)
        indices = chosen[0].numpy().astype(np.uint16)
        return Choice(indices, classes[0].numpy().astype(np.uint8), indices)

    @pinned_torch()
    @torch.inference_mode()
    def latents(self, codes: npt.NDArray[Any]) -> Latents:
        """Return latents of codes uint16 [P, h', w'], the indices; see Encoder.latents."""
        latents: Latents = self.quantizer.decode(torch.from_numpy(codes.astype(np.int64))[None])[0].numpy()
        return latents
