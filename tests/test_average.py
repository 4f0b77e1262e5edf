"""The moving average of weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vqcodec.training.average import _DECAY, WeightAverage


def walk(layer: nn.Linear, average: WeightAverage, steps: int) -> list[torch.Tensor]:
    """Move the weights at random for so many steps; return what they were after each."""
    generator, seen = torch.Generator().manual_seed(steps), []
    for _ in range(steps):
        with torch.no_grad():
            layer.weight.add_(torch.randn(layer.weight.shape, generator=generator))
        average.update()
        seen.append(layer.weight.detach().clone())
    return seen


def test_few_steps_count_alike_and_many_fade() -> None:
    layer = nn.Linear(3, 2)
    average = WeightAverage(layer)
    seen = walk(layer, average, 40)
    with average.applied():
        assert torch.allclose(layer.weight, torch.stack(seen).mean(0), atol=1e-5)
    assert torch.equal(layer.weight, seen[-1])
    seen += walk(layer, average, 1500)
    wanted = seen[0].clone()
    for number, weight in enumerate(seen, 1):
        wanted.lerp_(weight, max(1 - _DECAY, 1 / number))
    with average.applied():
        assert torch.allclose(layer.weight, wanted, atol=1e-3)


def test_settling_goes_on_from_the_average_and_begins_a_new_one() -> None:
    layer = nn.Linear(3, 2)
    average = WeightAverage(layer)
    before = layer.weight.detach().clone()
    average.settle()
    assert torch.equal(layer.weight, before)
    mean = torch.stack(walk(layer, average, 10)).mean(0)
    average.settle()
    assert torch.allclose(layer.weight, mean, atol=1e-5)
    with average.applied():
        assert torch.allclose(layer.weight, mean, atol=1e-5)


def test_a_checkpoint_keeps_it_and_fits_no_other_modules() -> None:
    layer = nn.Linear(3, 2)
    average = WeightAverage(layer)
    walk(layer, average, 5)
    again = WeightAverage(layer)
    again.load_state_dict(average.state_dict())
    walk(layer, average, 3)
    with average.applied():
        wanted = layer.weight.detach().clone()
    for _ in range(3):
        again.update()
    assert not torch.equal(wanted, layer.weight)
    with pytest.raises(ValueError, match="other modules"):
        again.load_state_dict(WeightAverage(nn.Linear(2, 2)).state_dict())
