"""From latents to indices: what the encoder is free to choose.

The decoder is the same whatever is chosen here. An index is taken where squared error plus the
weighted bits of the prior's own tables is least, not where the codevector is nearest.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vqcodec.priors import ContextPrior, StaticPrior
from vqcodec.priors.context import NO_COARSE
from vqcodec.priors.integer_net import SIXTEENTHS
from vqcodec.priors.tables import Decoded
from vqcodec.quantizers import Quantizer
from vqcodec.quantizers.by_class import class_costs, encode_by_class
from vqcodec.quantizers.by_table import TableAssigner, Tables

_CLASS_ROUNDS = 2


def choose_static(
    prior: StaticPrior, quantizer: Quantizer, z: Tensor, quality: float, rate_aware: bool = True
) -> Decoded:
    """Return indices and classes for latents z float32 [1, d, h, w]: each position gets its cheapest class."""
    bits = torch.from_numpy(prior.table_costs[prior.table_map[prior.row(quality)]])
    indices, classes = quantizer.encode(z), torch.zeros(1, *z.shape[2:], dtype=torch.int64)
    for _ in range(_CLASS_ROUNDS if prior.classes > 1 else 1):
        costs = class_costs(bits, indices, prior.factor)[0].numpy()
        classes = torch.from_numpy(prior.choose_classes(costs, quality))[None].long()
        if rate_aware:
            indices = encode_by_class(quantizer, z, bits, classes)
    return Decoded(indices[0].numpy().astype(np.uint16), classes[0].numpy().astype(np.uint8), None)


def make_assigner(prior: ContextPrior) -> TableAssigner:
    """Return the search for indices under a context prior's tables."""
    coarse = prior.coarse_map.astype(np.int64)
    tables = Tables(
        torch.from_numpy(prior.tables.costs),
        torch.from_numpy(prior.fine_map.astype(np.int64)),
        torch.from_numpy(np.where(coarse == NO_COARSE, -1, coarse)),
    )
    codebook = torch.from_numpy(prior.codebook.astype(np.float32)) / SIXTEENTHS
    return TableAssigner(codebook, float(prior.scale), tables)


def choose_context(prior: ContextPrior, assigner: TableAssigner, z: Tensor, quality: float, weight: float) -> Decoded:
    """Return indices, classes and latents for z float32 [1, d, h, w], pass by pass as the decoder will see them.

    `weight` is what a bit counts against a squared error of one step^2.
    """
    _, d, height, width = z.shape
    flat = z.reshape(d, -1).t()
    walk = prior.walk((height, width), quality)
    for step in walk.steps():
        prediction = walk.predict(step)
        mean = torch.from_numpy(prediction.mean).float() / SIXTEENTHS
        residual = flat[torch.from_numpy(step.places), step.channels] - mean
        classes = torch.from_numpy(prediction.level).long()
        assigned = assigner.assign(residual.reshape(-1, 2), classes.reshape(-1, 2), weight)
        walk.put(step, prediction, assigned.coarse.numpy(), assigned.fine.numpy())
    return walk.result()
