"""The choice of indices under the context prior: pass by pass, as the decoder will see them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vqcodec.encoder.by_table import IndexCosts, TableAssigner
from vqcodec.encoder.choice import Encoder
from vqcodec.exact.priors import ContextPrior
from vqcodec.exact.priors.context import NO_COARSE
from vqcodec.exact.priors.integer_net import SIXTEENTHS
from vqcodec.exact.priors.tables import Choice


class ContextEncoder(Encoder):
    """Chooses under the tables that each pass of a context prior names."""

    prior: ContextPrior

    @cached_property
    def assigner(self) -> TableAssigner:
        """The choice under the prior's tables; made when it is first used, since decoding does not need it."""
        coarse = self.prior.coarse_map.astype(np.int64)
        tables = IndexCosts(
            torch.from_numpy(self.prior.tables.costs),
            torch.from_numpy(self.prior.fine_map.astype(np.int64)),
            torch.from_numpy(np.where(coarse == NO_COARSE, -1, coarse)),
        )
        codebook = torch.from_numpy(self.prior.codebook.astype(np.float32)) / SIXTEENTHS
        return TableAssigner(codebook, float(self.prior.scale), tables)

    @torch.inference_mode()
    def choose(self, z: Tensor, quality: float, weight: float) -> Choice:
        """Return what is chosen for z, pass by pass; see Encoder.choose."""
        _, d, height, width = z.shape
        flat = z.reshape(d, -1).t()
        walk = self.prior.walk((height, width), quality)
        for step in walk.steps():
            prediction = walk.predict(step)
            mean = torch.from_numpy(prediction.mean).float() / SIXTEENTHS
            residual = flat[torch.from_numpy(step.places), step.channels] - mean
            classes = torch.from_numpy(prediction.deviation_class).long()
            assigned = self.assigner.assign(residual.reshape(-1, 2), classes.reshape(-1, 2), weight)
            walk.put(step, prediction, assigned.coarse.numpy(), assigned.fine.numpy())
        return walk.result()

    @torch.inference_mode()
    def latents(self, codes: npt.NDArray[Any]) -> Tensor:
        """Return latents of codes int16 [d, h, w]; see Encoder.latents."""
        return torch.from_numpy(codes.astype(np.float32))[None] / SIXTEENTHS
