"""Optimal transport between two sets of vectors of equal weights, by Sinkhorn's algorithm.

Cuturi 2013: "Sinkhorn Distances: Lightspeed Computation of Optimal Transport".
"""

from __future__ import annotations

import torch
from torch import Tensor

# What is too far to be reached stays so in float32, and no row or column is all zero.
_LEAST = 1e-30


@torch.no_grad()
def plan(costs: Tensor, epsilon: float, rounds: int) -> Tensor:
    """Return how much mass goes from each of N vectors to each of K others, float32 [N, K], for costs [N, K].

    Every one of the N gives nearly 1 / N, and of the K gets exactly 1 / K, at the least cost less the plan's entropy.
    That weighs `epsilon` times the mean of the N least costs: if it weighed more than these, vectors of the K that are
    near to the same ones would fall together. With a small epsilon the plan is nearly exact, and needs more rounds.
    """
    logits = costs / (-epsilon * costs.amin(1).mean().clamp(min=_LEAST))
    kernel = logits.sub_(logits.amax(1, keepdim=True)).exp_().clamp_(min=_LEAST)
    columns = costs.new_ones(costs.shape[1])
    for _ in range(rounds):
        rows = 1 / (len(costs) * (kernel @ columns))
        columns = 1 / (len(columns) * (kernel.t() @ rows))
    return kernel.mul_(rows[:, None]).mul_(columns)


def wasserstein(x: Tensor, y: Tensor, epsilon: float, rounds: int) -> Tensor:
    """Return the cost of the plan from x [N, d] to y [K, d], a mean of squared distances, with gradients to both.

    Of the plan itself there is none: at the least cost it has no slope (the envelope theorem).
    """
    costs = x.square().sum(1, keepdim=True) + y.square().sum(1) - 2 * x @ y.t()
    return (plan(costs.detach(), epsilon, rounds) * costs).sum()
