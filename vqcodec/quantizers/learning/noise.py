"""Random numbers of training that depend on the step alone, so that a resumed run draws what it would have drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_SEEDS = 1 << 62


class StepNoise(nn.Module):
    """Counts training steps and gives each a seed; the state dict keeps the count and the run's own number."""

    run: Tensor
    step: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("run", torch.randint(1 << 31, ()))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def seed(self) -> int:
        """Return the seed of the present step, the same one until advance()."""
        generator = torch.Generator().manual_seed(int(self.run + self.step))
        return int(torch.randint(_SEEDS, (), generator=generator))

    def advance(self) -> None:
        """Go on to the next step."""
        self.step.add_(1)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Let what draws from the global generators of the CPU and of `device` draw from `seed`; then put them back."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng([device] if on_gpu else []):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            torch.cuda.manual_seed(seed)
        yield


def gumbel(rows: int, columns: int, seed: int, device: torch.device) -> Tensor:
    """Return float32 [rows, columns] of the standard Gumbel distribution: -log(-log(u)) of uniform u."""
    generator = torch.Generator(device).manual_seed(seed)
    # Half as many numbers of 64 random bits take half the time of uniform_.
    pairs = torch.empty((rows * columns + 1) // 2, dtype=torch.int64, device=device)
    bits = pairs.random_(-(1 << 63), None, generator=generator).view(torch.int32)[: rows * columns]
    # Odd multiples of 2^-24, which float32 holds exactly and which are neither 0 nor 1.
    uniform = bits.bitwise_and_((1 << 23) - 1).float().add_(0.5).mul_(2.0**-23)
    return uniform.log_().neg_().log_().neg_().view(rows, columns)
