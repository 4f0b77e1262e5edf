"""Starting a run from the networks of a model: to train it further, on other pictures, or for other lambdas."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from vqcodec.exact.priors.static import row_quality
from vqcodec.networks.rated import QUALITY_MAX, RatedNetwork, at_knots
from vqcodec.quantizers import Learned
from vqcodec.training.begin_from import start_network
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.photo.tilt import tilt_gains
from vqcodec.training.rate.context_net import ContextNet
from vqcodec.training.rate.reach import cap_gains, flat_colors

_FLAT_BLOCKS = 6
Crops = Callable[[], Tensor]
"""Returns pictures [B, 3, H, W] such as the run trains on."""


def start_from(state: TrainingState, model: str, crops: Crops | None = None) -> None:
    """Take over the weights of a model, named or by path; those of its context prior if the run has such a prior.

    With a context prior its codebook and tables are kept too; without one they, and the density, are made anew. Where
    the run has other lambdas, gains follow them as far as crops stay within reach; the settings may tilt them.
    SettingsError where networks or codebooks differ.
    """
    metadata, arrays = start_network(state.network, model, free=("lambdas",))
    state.rate.take_over(metadata, arrays)
    its = metadata.network["lambdas"]
    if tuple(its) != state.network.lambdas:
        follow_lambdas(state.network, state.quantizer, state.rate.trained, its, crops and crops())
        state.rate.unsettle()
    if state.settings.tilt:
        tilt_gains(state.network, state.rate.trained, state.settings.tilt)
        state.rate.unsettle()


@torch.no_grad()
def follow_lambdas(
    network: RatedNetwork,
    quantizer: Learned,
    contexts: Iterable[ContextNet],
    before: Iterable[float],
    crops: Tensor | None = None,
) -> None:
    """Let gains that suited the lambdas `before` suit those of the network; context priors follow suit.

    The slope of a quantizer's error is as its step squared, so a gain grows as the root of lambda, as far as crops
    [B, 3, H, W], if there are any, and flat pictures of the most saturated colors stay within the codebook's reach.
    """
    device = network.log_gain.device
    old, its, mine = network.log_gain.clone(), torch.tensor(list(before)), torch.tensor(network.lambdas)
    network.log_gain.add_((0.5 * (mine / its).log()).to(device)[:, None])
    flat = flat_colors(_FLAT_BLOCKS * network.stride).to(device)
    for pictures in (flat,) if crops is None else (flat, crops):
        highest = torch.full((len(pictures),), QUALITY_MAX, device=device)
        cap_gains(network, quantizer, network.analysis(pictures, highest))
    for context in contexts:
        quality = torch.tensor([row_quality(row, context.rows) for row in range(context.rows)], device=device)
        context.scale_spread(at_knots(network.log_gain - old, quality).exp())
