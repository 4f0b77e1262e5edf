"""The network for the lowest rates: its size, where it attends, and what the modulated synthesis looks at."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.errors import SettingsError
from vqcodec.networks.vqgan import Attention, PlainNorm, SpatialNorm, VqganNetwork

Q = torch.tensor([50.0])


def count(module: nn.Module) -> int:
    """How many values a module learns."""
    return sum(parameter.numel() for parameter in module.parameters())


def conv(side: int, inputs: int, outputs: int) -> int:
    """Parameters of a convolution with bias."""
    return side * side * inputs * outputs + outputs


def residual(inputs: int, outputs: int) -> int:
    """Parameters of two norms, two convolutions and, where the width changes, a third."""
    skip = conv(1, inputs, outputs) if inputs != outputs else 0
    return 2 * inputs + conv(3, inputs, outputs) + 2 * outputs + conv(3, outputs, outputs) + skip


def attention(channels: int) -> int:
    """Parameters of a norm and of query, key, value and output."""
    return 2 * channels + 4 * conv(1, channels, channels)


def by_hand(w: int, d: int) -> tuple[int, int]:
    """Parameters of encoder and decoder, added up layer by layer from the published list of layers."""
    middle = 2 * residual(4 * w, 4 * w) + attention(4 * w)
    down = 2 * conv(3, w, w) + 2 * conv(3, 2 * w, 2 * w)
    encoder = conv(3, 3, w) + down + middle + 2 * 4 * w + conv(3, 4 * w, d)
    encoder += 4 * residual(w, w) + residual(w, 2 * w) + 3 * residual(2 * w, 2 * w)
    encoder += residual(2 * w, 4 * w) + residual(4 * w, 4 * w) + 2 * attention(4 * w)
    up = conv(3, 4 * w, 4 * w) + 2 * conv(3, 2 * w, 2 * w) + conv(3, w, w)
    decoder = conv(3, d, 4 * w) + middle + up + 2 * w + conv(3, w, 3)
    decoder += 3 * residual(4 * w, 4 * w) + 3 * attention(4 * w)
    decoder += residual(4 * w, 2 * w) + 5 * residual(2 * w, 2 * w) + residual(2 * w, w) + 5 * residual(w, w)
    return encoder, decoder


def test_the_published_width_has_72_million_parameters() -> None:
    """29.3 and 42.4 million; networks of these layers are published as 72 million together."""
    with torch.device("meta"):
        network = VqganNetwork()
    assert (count(network.encoder), count(network.decoder)) == by_hand(128, 256) == (29_298_176, 42_449_795)
    assert count(network) == sum(by_hand(128, 256)) + 2 * conv(1, 256, 256) == 71_879_555
    assert network.stride == 16 and network.d == 256


def test_a_modulated_norm_has_two_pointwise_convolutions_instead_of_two_values_a_channel() -> None:
    plain, modulated = VqganNetwork(8, 4), VqganNetwork(8, 4, modulated=True)
    channels = sum(norm.norm.num_channels for norm in modulated.modules() if isinstance(norm, SpatialNorm))
    assert count(modulated) - count(plain) == channels * 2 * (8 + 1) - channels * 2
    assert not any(isinstance(layer, SpatialNorm) for layer in modulated.encoder.modules())
    assert not any(isinstance(layer, PlainNorm) for layer in modulated.decoder.modules())
    assert modulated.encoder.state_dict().keys() == plain.encoder.state_dict().keys()


@pytest.mark.parametrize("modulated", [False, True])
def test_it_attends_on_the_latent_grid_and_nowhere_else(modulated: bool) -> None:
    network, seen = VqganNetwork(8, 4, modulated), []
    for layer in network.modules():
        if isinstance(layer, Attention):
            layer.register_forward_hook(lambda _, inputs, out: seen.append((inputs[0].shape[2:], out.shape[2:])))
    z = network.analysis(torch.rand(1, 3, 48, 80), Q)
    assert len(seen) == 2 + 1
    network.synthesis(z, Q)
    assert len(seen) == (2 + 1) + (1 + 3) and set(seen) == {((3, 5), (3, 5))}


def test_attention_is_softmax_of_products_over_all_places() -> None:
    layer, x = Attention(8, PlainNorm), torch.randn(2, 8, 3, 4)
    normal = layer.norm(x, None)
    query, key, value = (of(normal).flatten(2) for of in (layer.query, layer.key, layer.value))
    weights = torch.softmax(torch.einsum("bci,bcj->bij", query, key) / 8**0.5, dim=2)
    seen = torch.einsum("bij,bcj->bci", weights, value).reshape(2, 8, 3, 4)
    torch.testing.assert_close(layer(x, None), x + layer.out(seen))


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("width", [4, 8, 12])
def test_every_weight_of_a_small_network_learns(width: int, modulated: bool) -> None:
    torch.manual_seed(width)
    network = VqganNetwork(8, width, modulated)
    x = torch.rand(2, 3, 32, 48)
    y = network.synthesis(network.analysis(x, Q), Q)
    assert y.shape == x.shape
    F.mse_loss(y, x).backward()
    # A shift common to all keys does not change a softmax, so their biases have no gradient but rounding.
    learning = {k: p.grad for k, p in network.named_parameters() if not k.endswith("key.bias")}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in learning.values())
    assert [name for name, gradient in learning.items() if not gradient.abs().max() > 0] == []  # type: ignore[union-attr]


def parts_of_the_decoder(network: VqganNetwork) -> dict[str, nn.Module]:
    """The parts of a decoder that normalize."""
    decoder = network.decoder
    levels = {f"level {i}": level for i, level in enumerate(decoder.levels)}
    return {"middle": decoder.middle, "out": decoder.norm, **levels}


@pytest.mark.parametrize("part", ["middle", *(f"level {i}" for i in range(5)), "out"])
def test_the_modulated_synthesis_looks_at_the_latents_at_every_level(part: str) -> None:
    torch.manual_seed(5)
    network = VqganNetwork(8, 4, modulated=True)
    for name, other in parts_of_the_decoder(network).items():
        for norm in other.modules():
            if isinstance(norm, SpatialNorm) and name != part:
                nn.init.zeros_(norm.scale.weight)
                nn.init.zeros_(norm.shift.weight)
    y, z = torch.randn(1, 8, 2, 3), torch.randn(1, 8, 2, 3)
    assert (network.decoder(y, z) - network.decoder(y, -z)).abs().max() > 1e-4


def test_the_plain_synthesis_sees_the_latents_only_at_its_start() -> None:
    network = VqganNetwork(8, 4)
    y, z = torch.randn(1, 8, 2, 3), torch.randn(1, 8, 2, 3)
    assert torch.equal(network.decoder(y, z), network.decoder(y, -z))


def test_modulation_is_that_of_the_interpolated_latents() -> None:
    norm, x, z = SpatialNorm(8, 5), torch.randn(2, 8, 12, 8), torch.randn(2, 5, 3, 2)
    upsampled = z.repeat_interleave(4, 2).repeat_interleave(4, 3)
    normal = F.group_norm(x, 2, eps=1e-6)
    torch.testing.assert_close(norm(x, z), normal * norm.scale(upsampled) + norm.shift(upsampled))
    torch.testing.assert_close(norm(x, torch.zeros_like(z)), normal)


@pytest.mark.parametrize(("channels", "groups"), [(4, 1), (8, 2), (12, 1), (16, 4), (128, 32), (256, 32), (512, 32)])
def test_groups_have_at_least_four_channels(channels: int, groups: int) -> None:
    assert PlainNorm(channels).norm.num_groups == groups == SpatialNorm(channels, 3).norm.num_groups


def test_the_smallest_picture_is_one_latent() -> None:
    network = VqganNetwork(8, 8)
    z = network.analysis(torch.rand(1, 3, 16, 16), Q)
    assert z.shape == (1, 8, 1, 1) and network.synthesis(z, Q).shape == (1, 3, 16, 16)


def test_the_grid_is_halved_with_padding_below_and_at_the_right() -> None:
    """What is convolved with stride 2 has a row and a column of zeros more than the picture, and they come last."""
    network = VqganNetwork(8, 4)
    seen: list[Tensor] = []
    network.encoder.halve[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network.analysis(torch.rand(1, 3, 32, 16), Q)
    assert seen[0].shape == (1, 4, 33, 17)
    assert not seen[0][:, :, -1].any() and not seen[0][..., -1].any()
    assert seen[0][:, :, 0, :-1].all() and seen[0][:, :, :-1, 0].all()


def test_pictures_are_seen_and_given_in_zero_to_one() -> None:
    network = VqganNetwork(8, 4)
    seen: list[Tensor] = []
    network.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.rand(1, 3, 16, 16)
    network.analysis(x, Q)
    assert torch.equal(seen[0], 2 * x - 1)
    nn.init.zeros_(network.decoder.out.weight)
    nn.init.constant_(network.decoder.out.bias, 0.5)  # type: ignore[arg-type]
    assert torch.equal(network.synthesis(torch.randn(1, 8, 1, 1), Q), torch.full((1, 3, 16, 16), 0.75))


@pytest.mark.parametrize("width", [0, 2, 6, -4])
def test_other_widths_are_refused(width: int) -> None:
    with pytest.raises(SettingsError, match=f"width {width}"):
        VqganNetwork(width=width)
