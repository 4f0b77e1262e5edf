"""What every network promises, and what a codec makes of one that has no rates or sees the whole picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tiny import picture
from untrained import untrained

from vqcodec import coder as module
from vqcodec.codec import Codec
from vqcodec.decoder import showing
from vqcodec.errors import ModelError
from vqcodec.exact.bitstream import container
from vqcodec.image import Picture
from vqcodec.networks import NETWORKS, Network, PhotoNetwork, VqganNetwork, VqvaeNetwork, build

SMALL: dict[str, Callable[[], Network]] = {
    "photo": lambda: PhotoNetwork(12, (4, 8, 4, 8)),
    "vqvae": lambda: VqvaeNetwork(8),
    "vqvae gray": lambda: VqvaeNetwork(6, channels=1),
    "vqgan": lambda: VqganNetwork(8, 4),
    "vqgan modulated": lambda: VqganNetwork(8, 8, modulated=True),
}
RATELESS = ["vqvae", "vqvae gray", "vqgan", "vqgan modulated"]
Q50 = torch.tensor([50.0, 50.0])


@pytest.fixture
def network(request: pytest.FixtureRequest) -> Network:
    """A small network with random weights."""
    torch.manual_seed(1)
    network = SMALL[request.param]().eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter += 0.05 * torch.randn_like(parameter)  # the photo network has layers that start at zero
    return network


@pytest.fixture
def rateless(request: pytest.FixtureRequest) -> Codec:
    """A codec of a small network that has no rates."""
    torch.manual_seed(2)
    return untrained(SMALL[request.param]())


def test_every_network_is_here() -> None:
    assert {name.split()[0] for name in SMALL} == set(NETWORKS)


@pytest.mark.parametrize("network", SMALL, indirect=True)
def test_settings_make_the_same_network_again(network: Network) -> None:
    again = build(network.settings())
    assert type(again) is type(network) and again.settings() == network.settings()
    again.load_state_dict(network.state_dict())
    again.requires_grad_(False)
    x = torch.rand(2, 3, 32, 48)
    assert torch.equal(again.analysis(x, Q50), network.analysis(x, Q50))
    assert (again.d, again.channels, again.stride) == (network.d, network.channels, network.stride)


@pytest.mark.parametrize("network", SMALL, indirect=True)
def test_shapes_follow_from_stride_and_d(network: Network) -> None:
    x = torch.rand(2, 3, 3 * network.stride, 5 * network.stride)
    z = network.analysis(x, Q50)
    assert z.shape == (2, network.d, 3, 5) and z.dtype == torch.float32
    y = network.synthesis(z, Q50)
    assert y.shape == x.shape and y.dtype == torch.float32


@pytest.mark.parametrize("network", SMALL, indirect=True)
def test_quality_counts_where_there_are_rates(network: Network) -> None:
    x, other = torch.rand(2, 3, 32, 32), torch.tensor([1.0, 99.0])
    z = network.analysis(x, Q50)
    assert torch.equal(network.analysis(x, other), z) != network.has_rates
    assert torch.equal(network.synthesis(z, other), network.synthesis(z, Q50)) != network.has_rates


def test_unknown_networks_and_settings_are_refused() -> None:
    with pytest.raises(ModelError, match="'cube' is unknown"):
        build({"name": "cube"})
    with pytest.raises(ModelError, match="None is unknown"):
        build({})
    with pytest.raises(TypeError):
        build({"name": "vqvae", "color": 1})


@pytest.mark.parametrize("rateless", RATELESS, indirect=True)
def test_without_rates_the_nearest_codevectors_are_taken_whatever_effort_and_quality(rateless: Codec) -> None:
    pixels = picture(70, 90, seed=1)
    nearest = rateless.quantizer.encode(rateless.analyze(pixels, 50))[0].numpy()
    assert len(np.unique(nearest)) > 3
    for quality, effort in ((50, 0), (50, 1), (50, 9), (7, 5)):
        assert np.array_equal(rateless.encode(pixels, quality, effort).choice.indices, nearest)
        assert rateless.useful_effort(effort) == 0


@pytest.mark.parametrize("rateless", RATELESS, indirect=True)
def test_without_rates_files_come_back_as_the_synthesis_of_their_indices(rateless: Codec) -> None:
    pixels = picture(33, 47, seed=2)
    data = rateless.compress(Picture(pixels), 50)
    decoded = rateless.decompress(data).pixels
    assert decoded.shape == pixels.shape
    assert np.array_equal(decoded, rateless.decode(rateless.encode(pixels)))


@pytest.mark.parametrize(("rateless", "tiled"), [("vqvae", True), ("vqgan", False)], indirect=["rateless"])
def test_only_what_does_not_see_the_whole_picture_is_cut_into_tiles(
    rateless: Codec, tiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = picture(20 * rateless.network.stride, 18 * rateless.network.stride, seed=3)
    whole = rateless.encode(pixels)
    shown = rateless.decode(whole)
    monkeypatch.setattr(showing, "SYNTHESIS_TILE", 16)
    for name, value in (("TILE", 16), ("TILED_LATENTS", 16)):
        monkeypatch.setattr(module, name, value)
    data = container.read(rateless.compress(Picture(pixels)))
    assert data.header.tile == (16 if tiled else 0)
    differs = rateless.unpack(data).choice.indices != whole.choice.indices
    assert differs.mean() < 0.01  # ties may fall otherwise in a tile
    difference = np.abs(rateless.decode(whole).astype(int) - shown)
    assert difference.max() <= (1 if tiled else 0)
