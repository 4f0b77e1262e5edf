"""Steps that follow how busy a place is expected to be, while a context prior trains: exact/priors/masking.py."""

from __future__ import annotations

import torch
from torch import Tensor

from vqcodec.exact.priors import masking
from vqcodec.exact.priors.integer_net import SIXTEENTHS
from vqcodec.training.rate.rounding import round_through


def busyness(deviation_class: Tensor) -> Tensor:
    """Return how busy places are int64 [N], for classes [N, n] that need not be whole."""
    classes = torch.floor(deviation_class.detach() + 0.5).long()
    return classes.topk(masking.widest(classes.shape[1]), dim=1).values.sum(1)


def finer_by(deviation_class: Tensor, usual: Tensor) -> Tensor:
    """Return by how many classes steps are finer, int64 [N, 1], for classes [N, n] and a usual busyness int64 [N]."""
    unit = masking.CLASSES_PER_STEP * masking.widest(deviation_class.shape[1])
    finer = torch.div(2 * (usual - busyness(deviation_class)) + unit, 2 * unit, rounding_mode="floor")
    return finer.clamp(-masking.MOST, masking.MOST)[:, None]


def factors(finer: Tensor) -> Tensor:
    """Return float64 of the shape of `finer`: how many finer steps make one of the group's own."""
    steps = torch.tensor(masking.STEPS, dtype=torch.float64, device=finer.device)
    return steps[finer + masking.MOST] / (1 << masking.STEP_BITS)


def scaled(latents: Tensor, finer: Tensor) -> Tensor:
    """Return latents [N, n], whole sixteenths, in steps that are finer by so many classes [N, 1], rounded as in files.

    The gradient is that of the scaling.
    """
    rounded = round_through(latents.double() * SIXTEENTHS * factors(finer)) / SIXTEENTHS
    return rounded.to(latents.dtype)
