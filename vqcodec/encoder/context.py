"""The choice of indices under the context prior: pass by pass, as the decoder will see them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from vqcodec.encoder.by_table import IndexCosts, TableAssigner
from vqcodec.encoder.choice import Encoder, Latents, Sought
from vqcodec.encoder.influence import influence
from vqcodec.exact.priors import ContextPrior, masking
from vqcodec.exact.priors.context import NO_COARSE
from vqcodec.exact.priors.integer_net import SIXTEENTHS
from vqcodec.exact.priors.tables import Choice
from vqcodec.exact.priors.walk import IntegerWalk, by_place

_STEP = np.float32(SIXTEENTHS)
# What the first groups say makes the later ones cheaper, which no index counts for itself (docs/lab/photo-2.md).
_LAST_SHARE, _FIRST_LESS, _FADING = 1.5, 1.0, 0.6
# Measured with eight groups; where there are few, there is less that is later.
_MANY_GROUPS = 5


class ContextEncoder(Encoder):
    """Chooses under the tables that each pass of a context prior names."""

    def __init__(self, prior: ContextPrior) -> None:
        self.prior: ContextPrior = prior

    @cached_property
    def assigner(self) -> TableAssigner:
        """The choice under the prior's tables; made when it is first used, since decoding does not need it."""
        coarse = self.prior.coarse_map.astype(np.int64)
        coarse[self.prior.coarse_map == NO_COARSE] = -1
        tables = IndexCosts(self.prior.tables.costs, self.prior.fine_map.astype(np.int64), coarse)
        return TableAssigner(self.prior.codebook.astype(np.float32) / _STEP, float(self.prior.scale), tables)

    def choose(self, z: Latents, quality: float, weight: float) -> Choice:
        """Return what is chosen for z, pass by pass; see Encoder.choose. Early bits count less."""
        walk = self.prior.walk(z.shape[1:], quality)
        self._go(walk, z, [weight * share for share in shares_of_rate(len(self.prior.groups))])
        return walk.result()

    def seek(self, z: Latents, quality: float, weight: float) -> Sought:
        """See Encoder.seek; kept are the traces of the passes."""
        walk = self.prior.walk(z.shape[1:], quality, traced=True)
        self._go(walk, z, [weight] * len(self.prior.groups))
        return Sought(walk.result(), walk.traces)

    def _go(self, walk: IntegerWalk, z: Latents, weights: Sequence[float]) -> None:
        """Go through all passes with what is chosen for z, where weights are those of the groups' bits."""
        flat = by_place(z)
        for step in walk.steps():
            prediction = walk.predict(step)
            wanted = flat[step.places, step.channels]
            if len(prediction.finer):
                wanted *= masking.factor(prediction.finer)
            residual = wanted - prediction.mean.astype(np.float32) / _STEP
            classes = prediction.deviation_class.astype(np.int64).reshape(-1, 2)
            assigned = self.assigner.assign(residual.reshape(-1, 2), classes, weights[step.group])
            walk.put(step, prediction, assigned.coarse, assigned.fine)

    def influence(self, sought: Sought, z: Latents, quality: float, weight: float) -> Latents:
        """See Encoder.influence."""
        return influence(self.prior, self.assigner, sought, z, quality, weight)

    def latents(self, codes: npt.NDArray[Any]) -> Latents:
        """Return latents of codes int16 [d, h, w]; see Encoder.latents."""
        latents: Latents = np.divide(codes, _STEP, dtype=np.float32)
        return latents


def shares_of_rate(groups: int) -> list[float]:
    """Return how much a bit of each group counts of the rate weight: 0.5, 0.9, 1.14 ... 1.5 of five or more."""
    full = min(1.0, (groups - 1) / (_MANY_GROUPS - 1))
    return [1 + full * (_LAST_SHARE - _FIRST_LESS * _FADING**group - 1) for group in range(groups)]
