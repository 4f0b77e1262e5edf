"""The network of one group of channels of the context prior's float parent; see context_net.py."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vqcodec.exact.priors import passes

# Biases depend on quality along few knots: a bias for each of the rows would learn from a thirtieth of the steps.
KNOTS = 6


class FloatGroupNet(nn.Module):
    """The network of one group of channels: embedding of earlier groups, three dense layers, linear predictions.

    The buffer `usual` int64 [phases, rows] is how busy places are whose steps stay as they are; see masking.py. It
    is None where `rows` is, and in groups with linear predictions, which see latents of one step.
    """

    usual: Tensor | None

    def __init__(self, of: passes.Group, embed: int, hidden: int, rows: int | None = None) -> None:
        super().__init__()
        group, n = of.number, of.n
        self.group, self.n, self.channels = group, n, of.channels
        self.pattern, self.phases = of.pattern, of.pattern.phases
        # Of all that ends in the first sum, or its parts together would be too large.
        fan_in = (len(passes.AROUND) * embed if group else 0) + n * max(len(p.offsets) for p in self.phases)
        if group:
            self.embed = _weight(of.before, embed, of.before)
            self.bias_embed = nn.Parameter(torch.zeros(embed))
            self.around = _weight(len(passes.AROUND) * embed, hidden, fan_in)
        seeing = [p for p in self.phases if p.offsets]
        self.own = nn.ParameterList([_weight(len(p.offsets) * n, hidden, fan_in) for p in seeing])
        linear = seeing if of.pattern.linear else []
        self.rough = nn.ParameterList([_weight(n, hidden, fan_in) for _ in linear])
        # The mean of the neighbors: the best guess before anything is known, and exact on a flat place.
        self.linear = nn.ParameterList([nn.Parameter(_mean_of_neighbors(len(p.offsets), n)) for p in linear])
        usual = None
        if rows is not None and not of.pattern.linear:
            usual = torch.zeros(len(self.phases), rows, dtype=torch.int64)
        self.register_buffer("usual", usual)
        self.bias_first = nn.Parameter(0.1 * torch.randn(len(self.phases), KNOTS, hidden))
        self.second = _weight(hidden, hidden, hidden)
        self.bias_second = nn.Parameter(torch.zeros(hidden))
        # Zero weights: at first a prior says what its biases say, which is what a static prior would.
        self.out = nn.Parameter(torch.zeros(hidden, 2 * n))
        self.bias_out = nn.Parameter(torch.zeros(KNOTS, 2 * n))

    def first_weights(self) -> list[Tensor]:
        """Return every matrix that ends in the first layer's sums; they share its shifts."""
        return ([self.around] if self.group else []) + list(self.own) + list(self.rough)

    def own_of(self, phase: int) -> Tensor | None:
        """Return the matrix for the group's own earlier phases; the first phase has none."""
        return self.own[phase - 1] if phase else None

    def linear_of(self, phase: int) -> tuple[Tensor, Tensor] | None:
        """Return the weights of the linear prediction and of its roughness in a phase, None where there are none."""
        return (self.linear[phase - 1], self.rough[phase - 1]) if phase and self.pattern.linear else None


def _weight(inputs: int, outputs: int, fan_in: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(inputs, outputs) * math.sqrt(2 / fan_in))


def _mean_of_neighbors(count: int, n: int) -> Tensor:
    """Return the weights [count * n, n] that predict the mean of `count` neighbors."""
    return torch.eye(n).repeat(count, 1) / count
