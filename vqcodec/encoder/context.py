"""The choice of indices under the context prior: pass by pass, as the decoder will see them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vqcodec.encoder.by_table import FrequencyTables, TableAssigner
from vqcodec.exact.priors import ContextPrior
from vqcodec.exact.priors.context import NO_COARSE
from vqcodec.exact.priors.integer_net import SIXTEENTHS
from vqcodec.exact.priors.tables import Choice


def make_assigner(prior: ContextPrior) -> TableAssigner:
    """Return the choice of indices under a context prior's tables."""
    coarse = prior.coarse_map.astype(np.int64)
    tables = FrequencyTables(
        torch.from_numpy(prior.tables.costs),
        torch.from_numpy(prior.fine_map.astype(np.int64)),
        torch.from_numpy(np.where(coarse == NO_COARSE, -1, coarse)),
    )
    codebook = torch.from_numpy(prior.codebook.astype(np.float32)) / SIXTEENTHS
    return TableAssigner(codebook, float(prior.scale), tables)


def choose_context(prior: ContextPrior, assigner: TableAssigner, z: Tensor, quality: float, weight: float) -> Choice:
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
