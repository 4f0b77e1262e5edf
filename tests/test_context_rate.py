"""The gradients of training under the context prior are those of what is counted."""

from __future__ import annotations

import pytest
import torch

from vqcodec.choices import TRAINING_RATE_WEIGHT
from vqcodec.encoder.by_table import TableAssigner, UnitChoice
from vqcodec.training.rate.context_net import CLASSES, ContextNet
from vqcodec.training.rate.context_rate import code
from vqcodec.training.rate.pair_tables import WIDE_CLASS, hexagonal_codebook, logistic_tables


@pytest.fixture(scope="module")
def assigner() -> TableAssigner:
    codebook = hexagonal_codebook(64, 1.35)
    return logistic_tables(codebook, 6.0).assigner(codebook, 6.0)


def units(count: int, classes: int = CLASSES) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors [N, 2] and classes [N, 2] at random."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, 2, generator=generator) * 2, torch.randint(0, classes, (count, 2), generator=generator)


def written(assigner: TableAssigner, assigned: UnitChoice, classes: torch.Tensor, n: int) -> float | None:
    """What unit n's indices cost under other classes, read from the tables one by one; None if they cannot be."""
    first, second = classes[n].tolist()
    far = int(assigned.coarse[n] != assigner.zero)
    table = int(assigner.tables.coarse[first, second])
    if table < 0 and far:
        return None
    fine = assigner.tables.costs[assigner.tables.fine[first, second, far], assigned.fine[n]]
    return float(fine) + (float(assigner.tables.costs[table, assigned.coarse[n]]) if table >= 0 else 0.0)


def test_slopes_are_differences_between_neighboring_tables(assigner: TableAssigner) -> None:
    x, classes = units(400)
    classes[:20] = torch.tensor([WIDE_CLASS, 3])
    x[:20] *= 20
    assigned = assigner.assign(x, classes, TRAINING_RATE_WEIGHT)
    found = assigner.class_slopes(assigned.coarse, assigned.fine, classes)
    one_sided = 0
    for n in range(len(x)):
        for which in (0, 1):
            costs: dict[int, float] = {}
            for change in (-1, 0, 1):
                other = classes.clone()
                other[n, which] += change
                if 0 <= int(other[n, which]) < CLASSES:
                    cost = written(assigner, assigned, other, n)
                    if cost is not None:
                        costs[change] = cost
            span = max(costs) - min(costs)
            one_sided += span == 1
            expected = (costs[max(costs)] - costs[min(costs)]) / max(1, span)
            assert float(found[n, which]) == pytest.approx(expected, abs=1e-4)
    assert one_sided > 20


def test_the_mean_learns_what_the_least_cost_changes_by(assigner: TableAssigner) -> None:
    torch.manual_seed(0)
    # Without linear predictions, which would hand the change on to the neighbors.
    net = ContextNet((2, 4), rows=3, embed=4, hidden=8, patterns=("coarse", "coarse"))
    net.set_spread(torch.full((3, 6), 0.75**0.5))  # then the spread is one step, and 1 / 16 a whole number of them
    z, rows = torch.randn(16, 6, 32, 32) + 0.4, torch.arange(16) % 3

    def cost() -> float:
        """What the encoder counts, with the means rounded as the decoder rounds them."""
        with torch.no_grad():
            coded = code(net, assigner, z, rows)
            return float((coded.bits.sum() + (z - coded.z_q).square().sum() / TRAINING_RATE_WEIGHT).double())

    bias = net.nets[1].bias_out
    bits = code(net, assigner, z, rows).rate.sum()
    (gradient,) = torch.autograd.grad(bits, bias)
    before, step = bias.detach().clone(), 1 / 16
    measured = []
    for sign in (1, -1):
        with torch.no_grad():
            bias.copy_(before)
            bias[:, 0] += sign * step
        measured.append(cost())
    # A new network's outputs do not look at their context yet, so the change is all in the channel's own cost.
    assert (measured[0] - measured[1]) / (2 * step) == pytest.approx(float(gradient[:, 0].sum()), rel=0.05)
    assert abs(float(gradient[:, 0].sum())) > 1000


def test_the_quantized_latents_are_the_decoders_and_bits_are_counted(assigner: TableAssigner) -> None:
    torch.manual_seed(1)
    net = ContextNet((2, 4), rows=3, embed=4, hidden=8)
    net.set_spread(torch.ones(3, 6))
    net.integer = True
    z, rows = torch.randn(1, 6, 5, 3) * 2, torch.tensor([1])
    counts = torch.zeros(assigner.tables.costs.shape)
    with torch.no_grad():
        coded = code(net, assigner, z, rows, counts)
        again = code(net, assigner, coded.z_q, rows)
    assert torch.equal((16 * coded.z_q).round(), 16 * coded.z_q)
    assert float(coded.bits) == pytest.approx(float((counts * assigner.tables.costs).sum()), rel=1e-5)
    assert float((again.z_q - coded.z_q).abs().mean()) < float((z - coded.z_q).abs().mean())
    assert float(coded.usage.sum()) == pytest.approx(1)
