"""Gains moved towards what the eye sees: finer steps for some bands of the block basis, coarser ones for others.

The gains of a model that was trained for squared error weigh a gray level alike in every band. A measure of how
pictures look does not, so a model for looks starts from the same networks with its gains tilted. `lowest` changes
all gains at quality 1 and those above it less and less, so that qualities begin at another rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from vqcodec.errors import SettingsError
from vqcodec.networks.photo import STRIDE
from vqcodec.networks.rated import RatedNetwork, position_of
from vqcodec.training.rate.context_net import ContextNet

LUMA_EDGES, CHROMA_EDGES = (0.5, 1.5, 2.5, 3.5), (0.5, 1.5)
"""Where bands end, in cycles per block."""
BANDS = tuple(
    f"{kind}{i}" for kind, edges in (("luma", LUMA_EDGES), ("chroma", CHROMA_EDGES)) for i in range(len(edges) + 1)
)
"""luma0 to luma4 and chroma0 to chroma2, from the mean of a block to the finest."""
LOWEST = "lowest"
# e^2 is a factor of seven in steps; a typing error should not train for hours.
MOST = 2.0


def check_tilt(tilt: Mapping[str, float]) -> None:
    """Raise SettingsError for a band that is not there or a change of a gain beyond e^2."""
    for name, value in tilt.items():
        if name not in (*BANDS, LOWEST):
            raise SettingsError(f"tilt has no band {name!r}; choose from {', '.join(BANDS)}, or {LOWEST}")
        if not -MOST <= value <= MOST:
            raise SettingsError(f"tilt {name}={value} is outside {-MOST:g}..{MOST:g}")


@torch.no_grad()
def tilt_gains(network: RatedNetwork, contexts: Iterable[ContextNet], tilt: Mapping[str, float]) -> None:
    """Multiply each channel's gain by e^x, x the tilt of its bands by their shares; context priors follow suit."""
    if network.linear is None and set(tilt) - {LOWEST}:
        raise SettingsError(f"network {network.settings()['name']} has no bands to tilt; leave all but {LOWEST} out")
    shares = {} if network.linear is None else band_shares(network.linear.synthesis)
    change = torch.zeros(network.d)
    for name, value in tilt.items():
        if name != LOWEST:
            change += value * shares[name]
    lowest = tilt.get(LOWEST, 0.0)
    knots, change = len(network.log_gain), change.to(network.log_gain.device)
    network.log_gain.add_(change + lowest * _fading(knots).to(change)[:, None])
    for context in contexts:
        context.scale_spread((change + lowest * _fading(context.rows).to(change)[:, None]).exp())


def slope(network: RatedNetwork, quality: Tensor, tilt: Mapping[str, float]) -> Tensor:
    """Return the weight of 255^2 * MSE against bits per pixel at qualities [B]: with `lowest` as gains squared."""
    return network.rate_lambda(quality) * torch.exp(2 * tilt.get(LOWEST, 0.0) * (1 - position_of(quality)))


def _fading(count: int) -> Tensor:
    return torch.linspace(1, 0, count)


def band_shares(basis: Tensor) -> dict[str, Tensor]:
    """Return how much [d] of each channel of a block basis [d, 3, 16, 16] lies in each band.

    A channel is as much luma as there is of its energy along gray, the rest is chroma; its frequency, in cycles per
    block, is the mean over its energy.
    """
    basis = basis.detach().float().cpu()
    energy = basis.square().sum((1, 2, 3))
    luma = (basis.sum(1) / 3**0.5).square().sum((1, 2)) / energy
    spectrum = torch.fft.fft2(basis, norm="ortho").abs().square().sum(1)
    axis = torch.fft.fftfreq(STRIDE)
    radius = (axis[:, None] ** 2 + axis**2).sqrt() * STRIDE
    frequency = (spectrum * radius).sum((1, 2)) / spectrum.sum((1, 2))
    shares: dict[str, Tensor] = {}
    for kind, share, edges in (("luma", luma, LUMA_EDGES), ("chroma", 1 - luma, CHROMA_EDGES)):
        band = torch.bucketize(frequency, torch.tensor(edges), right=True)
        shares |= {f"{kind}{i}": share * (band == i) for i in range(len(edges) + 1)}
    return shares
