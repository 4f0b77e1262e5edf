"""The arithmetic of the integer networks with gradients: what rounding does to weights, biases and activations."""

from __future__ import annotations

import torch
from torch import Tensor

from vqcodec.exact.priors.integer_net import ACTIVATION_MAX, BOUND, FRACTION, SHIFT_MAX, WEIGHT_MAX
from vqcodec.exact.priors.linear import WEIGHT_BITS

# Rounding moves a weight by up to a half, so the sums of rounded weights may be a little larger.
_SUMS_SHARE = 0.9


def round_through(x: Tensor) -> Tensor:
    """Round half up, with the gradient of the identity."""
    return x + (torch.floor(x + 0.5) - x).detach()


def shift_of(weights: list[Tensor], bias: Tensor, integer: bool) -> Tensor | None:
    """Return 2^shift of each output, or None in float mode; see shifts."""
    return shifts(weights, bias) if integer else None


def shifts(weights: list[Tensor], bias: Tensor) -> Tensor:
    """Return 2^shift of each output of matrices with one bias: as fine as int8 and the bound on the sums allow."""
    with torch.no_grad():
        largest = torch.stack([w.abs().amax(0) for w in weights]).amax(0)
        total = ACTIVATION_MAX * torch.stack([w.abs().sum(0) for w in weights]).sum(0)
        total = total + FRACTION * bias.abs().reshape(-1, bias.shape[-1]).amax(0)
        room = torch.minimum(WEIGHT_MAX / largest.clamp(min=1e-6), _SUMS_SHARE * BOUND / total.clamp(min=1e-6))
        return torch.exp2(room.log2().floor().clamp(0, SHIFT_MAX))


def round_weight(weight: Tensor, shift: Tensor | None) -> Tensor:
    """Return a weight in multiples of 2^-shift; in float mode (None) as it is."""
    return weight if shift is None else round_through(weight * shift) / shift


def round_bias(bias: Tensor, shift: Tensor | None) -> Tensor:
    """Return a bias in multiples of 2^-shift / FRACTION; in float mode as it is."""
    return bias if shift is None else round_through(bias * shift * FRACTION) / (shift * FRACTION)


def dense(x: Tensor, weight: Tensor, bias: Tensor, integer: bool) -> Tensor:
    """Return x @ weight + bias, rounded in integer mode."""
    shift = shift_of([weight], bias, integer)
    return x @ round_weight(weight, shift) + round_bias(bias, shift)


def activate(x: Tensor, integer: bool) -> Tensor:
    """Return x cut to the range of activations, rounded in integer mode."""
    x = x * FRACTION
    if integer:
        x = round_through(x)
    return x.clamp(0, ACTIVATION_MAX) / FRACTION


def fixed_point(weight: Tensor) -> Tensor:
    """Return weights as the file has them, in integers of 2^-12."""
    return round_through(weight * (1 << WEIGHT_BITS)).clamp(-(1 << 15), (1 << 15) - 1) / (1 << WEIGHT_BITS)
