"""The papers' small network: its size, its skip, its ranges and how far it sees."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from vqcodec.errors import SettingsError
from vqcodec.networks.vqvae import RectifiedResidual, VqvaeNetwork

Q = torch.tensor([50.0])


def count(module: nn.Module) -> int:
    """How many values a module learns."""
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("d", "channels", "encoder", "before", "decoder"),
    [
        (64, 1, 362_112, 8_256, 288_257),
        (64, 3, 364_160, 8_256, 290_307),
        (128, 1, 362_112, 16_512, 361_985),
        (128, 3, 364_160, 16_512, 364_035),
    ],
)
def test_it_has_as_many_parameters_as_the_published_networks(
    d: int, channels: int, encoder: int, before: int, decoder: int
) -> None:
    network = VqvaeNetwork(d, channels)
    assert (count(network.encoder), count(network.before), count(network.decoder)) == (encoder, before, decoder)
    assert count(network) == encoder + before + decoder


@pytest.mark.parametrize(("side", "grid"), [(28, 7), (32, 8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_the_papers_sizes_need_no_padding(side: int, grid: int, channels: int) -> None:
    network = VqvaeNetwork(128, channels)
    z = network.analysis(torch.rand(5, 3, side, side), Q.expand(5))
    assert z.shape == (5, 128, grid, grid)
    assert network.synthesis(z, Q.expand(5)).shape == (5, 3, side, side)


def test_the_skip_carries_the_rectified_input_as_the_published_code_in_place_does() -> None:
    block, x = RectifiedResidual(8, 4), torch.randn(2, 8, 5, 5)
    branch = nn.Sequential(nn.ReLU(inplace=True), block.first, nn.ReLU(inplace=True), block.second)
    published = x.clone()
    published = published + branch(published)
    assert torch.equal(block(x), published)
    nn.init.zeros_(block.second.weight)
    nn.init.zeros_(block.second.bias)  # type: ignore[arg-type]
    assert torch.equal(block(x), x.relu()) and not torch.equal(block(x), x)


def test_two_blocks_and_a_rectifier_stand_before_the_latents_and_behind_them() -> None:
    network = VqvaeNetwork()
    kinds = [[type(layer).__name__ for layer in part] for part in (network.encoder, network.decoder)]
    middle = ["RectifiedResidual", "RectifiedResidual", "ReLU"]
    assert kinds[0] == ["Conv2d", "ReLU", "Conv2d", "ReLU", "Conv2d", *middle]
    assert kinds[1] == ["Conv2d", *middle, "ConvTranspose2d", "ReLU", "ConvTranspose2d"]


def test_one_seed_makes_one_network() -> None:
    def made(seed: int) -> Tensor:
        torch.manual_seed(seed)
        network, x = VqvaeNetwork(), torch.linspace(0, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
        return network.synthesis(network.analysis(x, Q), Q)

    assert torch.equal(made(3), made(3)) and not torch.equal(made(3), made(4))


def test_weights_start_as_pytorch_draws_them() -> None:
    torch.manual_seed(0)
    layers = [layer for layer in VqvaeNetwork().modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == 3 + 4 + 1 + 1 + 4 + 2
    for layer in layers:
        bound = 1 / math.sqrt(layer.weight[0].numel())  # uniform in +-1 / sqrt(inputs), for weights and biases alike
        assert layer.bias is not None and 0 < layer.bias.abs().max() <= bound
        assert 0.95 * bound < layer.weight.abs().max() <= bound


def test_the_encoder_sees_every_gray_level_exactly_in_minus_one_to_one() -> None:
    levels = torch.arange(256).float().reshape(1, 1, 16, 16) / 255
    for channels in (1, 3):
        network, seen = VqvaeNetwork(channels=channels), []
        network.encoder.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))  # type: ignore[misc]
        network.analysis(levels.expand(-1, 3, -1, -1), Q)
        assert torch.equal(seen[0], (levels.expand(-1, channels, -1, -1) - 0.5) / 0.5)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_the_decoder_gives_in_minus_one_to_one_is_a_picture_in_zero_to_one(channels: int) -> None:
    network = VqvaeNetwork(channels=channels)
    last = network.decoder[-1]
    nn.init.zeros_(last.weight)
    for value, shown in ((-1.0, 0.0), (0.0, 0.5), (1.0, 1.0), (1.5, 1.25)):
        nn.init.constant_(last.bias, value)
        assert torch.equal(network.synthesis(torch.randn(1, 64, 2, 2), Q), torch.full((1, 3, 8, 8), shown))


def test_a_gray_network_gives_three_equal_channels_and_looks_at_their_mean() -> None:
    network, x = VqvaeNetwork(channels=1), torch.rand(1, 3, 16, 16)
    y = network.synthesis(torch.randn(1, 64, 4, 4), Q)
    assert torch.equal(y[:, 0], y[:, 1]) and torch.equal(y[:, 0], y[:, 2])
    mean = x.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    torch.testing.assert_close(network.analysis(x, Q), network.analysis(mean, Q))


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_other_channels_are_refused(channels: int) -> None:
    with pytest.raises(SettingsError, match=f"{channels} channels"):
        VqvaeNetwork(channels=channels)


def reach(inputs: Tensor, output: Tensor, first: int, size: int) -> int:
    """How many cells before `first` or behind the `size` cells there an output depends on, along both axes."""
    (gradient,) = torch.autograd.grad(output.sum(), inputs)
    seen = gradient[0].abs().amax(0).nonzero()
    return max(first - int(seen.min()), int(seen.max()) - (first + size - 1))


def test_it_sees_as_far_as_its_margins_say() -> None:
    """The synthesis' margin is one more, for latents that the mode `smooth` interpolates."""
    network = VqvaeNetwork(4)
    for weight in network.parameters():
        nn.init.constant_(weight, 1 / weight[0].numel())  # all positive, so that no ReLU is shut
    x = torch.ones(1, 3, 4 * 15, 4 * 15, requires_grad=True)
    z = network.analysis(x, Q)[:, :, 7, 7]
    assert -(-reach(x, z, 4 * 7, 4) // 4) == network.analysis_margin
    z = torch.ones(1, 4, 15, 15, requires_grad=True)
    x = network.synthesis(z, Q)[:, :, 4 * 7 : 4 * 8, 4 * 7 : 4 * 8]
    assert reach(z, x, 7, 1) + 1 == network.synthesis_margin


def as_written_and_as_released(**released: int) -> tuple[VqvaeNetwork, VqvaeNetwork]:
    """Two networks of the same weights, the second with what released code does to latents."""
    torch.manual_seed(0)
    plain, network = VqvaeNetwork(8), VqvaeNetwork(8, **released)
    network.load_state_dict(plain.state_dict())
    return plain, network


def test_subpixels_are_those_of_the_released_code() -> None:
    """Upsampled, unshuffled, in units of 4 contiguous channels: the 2 x 2 cells of one channel; then their mean."""
    plain, network = as_written_and_as_released(subpixel=2)
    x = torch.rand(2, 3, 32, 24)
    z, found = plain.analysis(x, Q.expand(2)), network.analysis(x, Q.expand(2))
    finer = nn.functional.interpolate(z, scale_factor=2.0, mode="bilinear", align_corners=False)
    assert network.d == 32 and found.shape == (2, 32, 8, 6)
    for channel in range(8):
        unit = found[:, 4 * channel : 4 * channel + 4]
        cells = [finer[:, channel, row::2, column::2] for row in range(2) for column in range(2)]
        assert torch.equal(unit, torch.stack(cells, 1))
    noise = torch.randn_like(found)
    meant = plain.synthesis(nn.functional.avg_pool2d(nn.functional.pixel_shuffle(noise, 2), 2), Q.expand(2))
    assert torch.equal(network.synthesis(noise, Q.expand(2)), meant)
    assert network.settings() == {"name": "vqvae", "d": 8, "channels": 3, "subpixel": 2}
    assert plain.settings() == {"name": "vqvae", "d": 8, "channels": 3}


def test_rows_in_the_place_of_channels_are_those_of_the_released_code() -> None:
    """Channels-last slices that go where channels are expected first: a unit is 4 rows of one channel."""
    plain, network = as_written_and_as_released(rows=4)
    x = torch.rand(2, 3, 32, 24)
    z, found = plain.analysis(x, Q.expand(2)), network.analysis(x, Q.expand(2))
    for unit, part in enumerate(z.permute(0, 2, 3, 1).split(4, 3)):
        released = part.permute(0, 2, 3, 1).reshape(-1, 4)
        ours = found[:, 4 * unit : 4 * unit + 4].movedim(1, -1).reshape(-1, 4)
        assert sorted(ours.tolist()) == sorted(released.tolist())
    assert torch.equal(found[0, :4, 0, 0], z[0, 0, :4, 0]), "the first unit: the first four rows of the first channel"
    assert torch.equal(network.synthesis(found, Q.expand(2)), plain.synthesis(z, Q.expand(2)))
    odd = network.analysis(x[:, :, :24], Q.expand(2))
    assert torch.equal(odd[:, :, 4:], plain.analysis(x[:, :, :24], Q.expand(2))[:, :, 4:]), "no whole block"
    assert network.analysis_margin is network.synthesis_margin is None


@pytest.mark.parametrize("values", [{"subpixel": 2, "rows": 2}, {"rows": 3}, {"subpixel": 9}, {"subpixel": 0}])
def test_layouts_that_are_not_possible(values: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match="choose 1 for one of them"):
        VqvaeNetwork(8, **values)
