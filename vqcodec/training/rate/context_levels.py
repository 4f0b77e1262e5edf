"""How busy places are on average, so that their steps stay as they are; see exact/priors/masking.py."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from vqcodec.encoder.by_table import TableAssigner
from vqcodec.training.rate import masking
from vqcodec.training.rate.context_group import FloatGroupNet
from vqcodec.training.rate.context_net import ContextNet
from vqcodec.training.rate.context_rate import quantize

Levels = dict[tuple[int, int], int]
"""The level of each group and phase."""


@torch.no_grad()
def usual_levels(net: ContextNet, assigner: TableAssigner, z: Tensor, row: int) -> Levels:
    """Return the levels of all masked groups that are coded at a row, for latents z [B, d, h, w] of it.

    Each pass is quantized in the steps that its level gives, since what follows sees that.
    """
    batch, d, height, width = z.shape
    flat = z.movedim(1, 3).reshape(batch, height * width, d)
    walk = net.begin(batch, height, width, torch.full((batch,), row, device=z.device))
    levels: Levels = {}
    for group, phase, channels, places in walk.passes():
        y = flat[:, places, channels].reshape(-1, channels.stop - channels.start)
        if net.starts[group] > row:
            walk.put(channels, places, torch.zeros_like(y))
            continue
        prediction = walk.expect(group, phase, channels, places)
        if net.nets[group].masking is not None:
            level = masking.busyness(prediction.deviation_class).double().mean().round().long()
            levels[group, phase] = int(level)
            prediction = prediction.masked(level.expand(len(y)))
        chosen, _, _ = quantize(prediction.own_steps(y), prediction, assigner)
        walk.put(channels, places, prediction.group_steps(chosen))
    return levels


def set_levels(net: ContextNet, known: Mapping[int, Levels]) -> None:
    """Set the levels of all rows from those of some; a row below a group's first has that of the first."""
    for group in net.nets:
        assert isinstance(group, FloatGroupNet)
        for phase in range(0 if group.masking is None else len(group.masking)):
            assert group.masking is not None
            at = {row: levels[group.group, phase] for row, levels in known.items() if (group.group, phase) in levels}
            if at:
                rows = np.interp(np.arange(net.rows), list(at), list(at.values()))
                group.masking[phase] = torch.from_numpy(rows.round()).long()
