"""The moving average of a run's weights: what is validated, and what a stage hands on to the next.

It does what a low learning rate at the end would do, at any time of the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# The last 500 steps: long enough to average the noise of batches, short enough to follow a run of thousands.
_DECAY = 0.998


class WeightAverage:
    """Averages the parameters of modules over steps; the first steps count as much as there are of them."""

    def __init__(self, *modules: nn.Module) -> None:
        self._live = [parameter for module in modules for parameter in module.parameters()]
        self._mean = [parameter.detach().clone() for parameter in self._live]
        self._steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Count the weights of a step."""
        self._steps += 1
        # A plain mean at first: a moving one would begin at the weights of a network that knew nothing.
        share = max(1 - _DECAY, 1 / self._steps)
        torch._foreach_lerp_(self._mean, [parameter.detach() for parameter in self._live], share)

    @torch.no_grad()
    def settle(self) -> None:
        """Let the modules go on from the average, and begin a new one."""
        if self._steps:
            self._exchange()
        for mean, parameter in zip(self._mean, self._live, strict=True):
            mean.copy_(parameter)
        self._steps = 0

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the modules have the average for a while."""
        if self._steps:
            self._exchange()
        try:
            yield
        finally:
            if self._steps:
                self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for mean, parameter in zip(self._mean, self._live, strict=True):
            value = parameter.detach().clone()
            parameter.copy_(mean)
            mean.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """Return the average and its steps, for a checkpoint."""
        return {"steps": self._steps, "mean": list(self._mean)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned; ValueError where the modules are not those."""
        values: list[Tensor] = state["mean"]
        if [v.shape for v in values] != [m.shape for m in self._mean]:
            raise ValueError("the average is of other modules")
        self._steps = state["steps"]
        for mean, value in zip(self._mean, values, strict=True):
            mean.copy_(value)
