"""How busy places are on average, so that their steps stay as they are; see exact/priors/masking.py."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from vqcodec.encoder.by_table import TableAssigner
from vqcodec.encoder.context import shares_of_rate
from vqcodec.exact.priors.masking import MOST
from vqcodec.training.rate import masking
from vqcodec.training.rate.context_group import FloatGroupNet
from vqcodec.training.rate.context_net import ContextNet
from vqcodec.training.rate.context_rate import quantize

Busyness = dict[tuple[int, int], int]
"""That of each group and phase."""
_KNOWN_ROWS = 9


def known_rows(rows: int) -> list[int]:
    """Return the rows of qualities that are measured; those between them have what lies between."""
    return sorted({round(row) for row in np.linspace(0, rows - 1, _KNOWN_ROWS)})


def finest_steps(net: ContextNet) -> Tensor:
    """Return how many steps of a calm place one of the gains' holds, float32 [d, 1, 1]."""
    finest = torch.ones(sum(net.sizes), device=net.spread.device)
    for group in net.nets:
        assert isinstance(group, FloatGroupNet)
        if group.usual is not None:
            finest[group.channels] = float(masking.factors(torch.tensor(MOST)))
    return finest[:, None, None]


@torch.no_grad()
def usual_busyness(net: ContextNet, assigner: TableAssigner, z: Tensor, row: int) -> Busyness:
    """Return how busy places of all masked groups are that are coded at a row, for latents z [B, d, h, w] of it.

    Each pass is quantized in the steps that follow from it, since what follows sees that.
    """
    batch, d, height, width = z.shape
    flat = z.movedim(1, 3).reshape(batch, height * width, d)
    walk = net.begin(batch, height, width, torch.full((batch,), row, device=z.device))
    shares = shares_of_rate(len(net.sizes))
    usual: Busyness = {}
    for group, phase, channels, places in walk.passes():
        y = flat[:, places, channels].reshape(-1, channels.stop - channels.start)
        if net.starts[group] > row:
            walk.put(channels, places, torch.zeros_like(y))
            continue
        prediction = walk.expect(group, phase, channels, places)
        if net.nets[group].usual is not None:
            mean = masking.busyness(prediction.deviation_class).double().mean().round().long()
            usual[group, phase] = int(mean)
            prediction = prediction.masked(mean.expand(len(y)))
        chosen, _, _ = quantize(prediction.own_steps(y), prediction, assigner, shares[group])
        walk.put(channels, places, prediction.group_steps(chosen))
    return usual


def set_usual(net: ContextNet, known: Mapping[int, Busyness]) -> None:
    """Set the usual busyness of all rows from that of some; a row below a group's first has that of the first."""
    for group in net.nets:
        assert isinstance(group, FloatGroupNet)
        for phase in range(0 if group.usual is None else len(group.usual)):
            assert group.usual is not None
            at = {row: found[group.group, phase] for row, found in known.items() if (group.group, phase) in found}
            if at:
                rows = np.interp(np.arange(net.rows), list(at), list(at.values()))
                group.usual[phase] = torch.from_numpy(rows.round()).long()
