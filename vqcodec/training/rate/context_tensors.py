"""The integer tensors of a trained ContextNet: what the model file holds and priors/context.py reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vqcodec.exact.priors.integer_net import BOUND, FRACTION
from vqcodec.exact.priors.linear import WEIGHT_BITS
from vqcodec.training.rate.context_group import FloatGroupNet
from vqcodec.training.rate.context_net import ContextNet, knot_weights
from vqcodec.training.rate.rounding import fixed_point, shifts

Arrays = dict[str, npt.NDArray[Any]]


def context_settings(net: ContextNet) -> dict[str, Any]:
    """Return the settings of the context prior for the model file."""
    return {
        "groups": list(net.sizes),
        "patterns": list(net.patterns),
        "starts": net.starts.tolist(),
        "embed": net.embed,
        "hidden": net.hidden,
        "bound": BOUND,
    } | ({"masking": True} if net.knows_usual else {})


@torch.no_grad()
def integer_tensors(net: ContextNet) -> Arrays:
    """Return the networks' tensors by name, without the prefix; see bitstream/FORMAT.md, "Context prior"."""
    arrays: Arrays = {"unit": net.spread.cpu().numpy().astype(np.int32)}
    knots = knot_weights(net.rows).to(net.spread.device)
    for group in net.nets:
        assert isinstance(group, FloatGroupNet)
        arrays |= {f"{group.group}.{name}": array for name, array in _group(group, knots).items()}
        if group.usual is not None and net.knows_usual:
            arrays[f"{group.group}.masking"] = group.usual.cpu().numpy().astype(np.int32)
    return arrays


def _group(group: FloatGroupNet, knots: Tensor) -> Arrays:
    first = shifts(group.first_weights(), group.bias_first)
    second, out = shifts([group.second], group.bias_second), shifts([group.out], group.bias_out)
    arrays: Arrays = {
        "first.bias": _bias(torch.einsum("rk,pkh->prh", knots, group.bias_first), first),
        "first.shift": _shift(first),
        "second.weight": _weight(group.second, second),
        "second.bias": _bias(group.bias_second, second),
        "second.shift": _shift(second),
        "out.weight": _weight(group.out, out),
        "out.bias": _bias(knots @ group.bias_out, out),
        "out.shift": _shift(out),
    }
    for phase in range(1, len(group.phases)):
        own = group.own_of(phase)
        assert own is not None
        arrays[f"own.{phase}.weight"] = _weight(own, first)
        if (weights := group.linear_of(phase)) is not None:
            fixed = (fixed_point(weights[0]) * (1 << WEIGHT_BITS)).round()
            arrays[f"linear.{phase}.weight"] = fixed.cpu().numpy().astype(np.int16)
            arrays[f"rough.{phase}.weight"] = _weight(weights[1], first)
    if group.group:
        embed = shifts([group.embed], group.bias_embed)
        arrays |= {
            "embed.weight": _weight(group.embed, embed),
            "embed.bias": _bias(group.bias_embed, embed),
            "embed.shift": _shift(embed),
            "around.weight": _weight(group.around, first),
        }
    return arrays


def _weight(weight: Tensor, scale: Tensor) -> npt.NDArray[np.int8]:
    result: npt.NDArray[np.int8] = torch.floor(weight * scale + 0.5).cpu().numpy().astype(np.int8)
    return result


def _bias(bias: Tensor, scale: Tensor) -> npt.NDArray[np.int32]:
    result: npt.NDArray[np.int32] = torch.floor(bias * scale * FRACTION + 0.5).cpu().numpy().astype(np.int32)
    return result


def _shift(scale: Tensor) -> npt.NDArray[np.uint8]:
    result: npt.NDArray[np.uint8] = scale.log2().round().cpu().numpy().astype(np.uint8)
    return result


@torch.no_grad()
def float_parent(settings: dict[str, Any], arrays: Arrays) -> ContextNet:
    """Return a ContextNet, in integer mode, whose rounded tensors are these: the way back from integer_tensors.

    Biases that depend on quality come back as the piecewise linear function that they were tabulated from.
    """
    sizes, patterns = tuple(settings["groups"]), tuple(settings["patterns"])
    masked = settings.get("masking", False)
    net = ContextNet(sizes, len(arrays["unit"]), settings["embed"], settings["hidden"], patterns, masked)
    net.spread.copy_(torch.from_numpy(arrays["unit"]))
    net.starts.copy_(torch.tensor(settings["starts"]))
    to_knots = torch.linalg.pinv(knot_weights(net.rows).double())
    for group in net.nets:
        assert isinstance(group, FloatGroupNet)
        take = _Floats(arrays, f"{group.group}.")
        if group.usual is not None:
            group.usual.copy_(torch.from_numpy(arrays[f"{group.group}.masking"]))
        group.bias_first.copy_(torch.einsum("kr,prh->pkh", to_knots, take.bias("first")))
        group.second.copy_(take.weight("second", "second"))
        group.bias_second.copy_(take.bias("second"))
        group.out.copy_(take.weight("out", "out"))
        group.bias_out.copy_(to_knots @ take.bias("out"))
        for phase in range(1, len(group.phases)):
            group.own[phase - 1].copy_(take.weight(f"own.{phase}", "first"))
            if (weights := group.linear_of(phase)) is not None:
                weights[0].copy_(take.fixed(f"linear.{phase}"))
                weights[1].copy_(take.weight(f"rough.{phase}", "first"))
        if group.group:
            group.embed.copy_(take.weight("embed", "embed"))
            group.bias_embed.copy_(take.bias("embed"))
            group.around.copy_(take.weight("around", "first"))
    net.integer, net.knows_usual = True, masked
    return net


class _Floats:
    """Reads integer tensors as the numbers they stand for."""

    def __init__(self, arrays: Arrays, prefix: str) -> None:
        self.arrays, self.prefix = arrays, prefix

    def weight(self, name: str, layer: str) -> Tensor:
        """Return a matrix of a layer."""
        return torch.from_numpy(self.arrays[f"{self.prefix}{name}.weight"]).double() / self._scale(layer)

    def fixed(self, name: str) -> Tensor:
        """Return a matrix of fixed-point weights."""
        return torch.from_numpy(self.arrays[f"{self.prefix}{name}.weight"]).double() / (1 << WEIGHT_BITS)

    def bias(self, layer: str) -> Tensor:
        """Return the bias of a layer."""
        return torch.from_numpy(self.arrays[f"{self.prefix}{layer}.bias"]).double() / (FRACTION * self._scale(layer))

    def _scale(self, layer: str) -> Tensor:
        return torch.exp2(torch.from_numpy(self.arrays[f"{self.prefix}{layer}.shift"]).double())
