"""Training of a generator: batches of sequences, AdamW, a learning rate that rises and falls, as nanoGPT has them."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from vqcodec.generation.transformer import Transformer, check_ranges
from vqcodec.training import checkpoint
from vqcodec.training.health import check_loss
from vqcodec.training.interrupt import Interrupt, interrupt_flag
from vqcodec.training.stepping import cosine

_BETAS, _DECAY, _CLIP = (0.9, 0.95), 0.1, 1.0
_WARM_UP_STEPS, _LAST_RATE = 100, 0.1
_SHOWN = 50
_CHECKPOINT_SECONDS = 180
_RANGES = {
    "steps": (0, 10**8), "batch": (1, 65536), "learning_rate": (1e-9, 1), "dropout": (0, 0.9), "seed": (0, 2**62),
}  # fmt: skip


@dataclass(frozen=True)
class Schooling:
    """How a generator learns: steps of so many sequences, 0 for an untrained one; SettingsError out of range."""

    steps: int = 3000
    batch: int = 32
    learning_rate: float = 1e-3
    dropout: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


class Pupil:
    """A Transformer that learns, with its optimizer and how far it is; all that a checkpoint keeps.

    `said` is what the run is, with which a checkpoint is compared.
    """

    def __init__(self, transformer: Transformer, how: Schooling, said: dict[str, Any]) -> None:
        self.transformer, self.how, self.said = transformer, how, said
        self.optimizer = _optimizer(transformer, how.learning_rate)
        self.step = 0
        self.nats: list[float] = []

    def state_dict(self) -> dict[str, Any]:
        """Return everything as tensors and plain values."""
        return {
            "settings": self.said,
            "transformer": self.transformer.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "nats": list(self.nats),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.transformer.load_state_dict(state["transformer"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.nats = state["step"], list(state["nats"])

    def take_step(self, sequences: Tensor) -> None:
        """Learn from a batch that, as what dropout leaves out, depends on seed and step alone."""
        random = np.random.default_rng((self.how.seed, self.step))
        batch = sequences[torch.from_numpy(random.integers(len(sequences), size=self.how.batch))]
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(int(random.integers(1 << 62)))
            loss = self.transformer.loss(batch)
        self.nats.append(loss.item())
        check_loss(self.nats[-1], self.step + 1, self.how.learning_rate)
        for group in self.optimizer.param_groups:
            group["lr"] = self.how.learning_rate * _share(self.step, self.how.steps)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.transformer.parameters(), _CLIP)
        self.optimizer.step()
        self.step += 1


def learn(pupil: Pupil, sequences: Tensor, path: Path) -> bool:
    """Train on sequences int64 [N, T] to the end and return True, or False on Ctrl-C, after a checkpoint was saved."""
    steps, saved = pupil.how.steps, time.monotonic()
    pupil.transformer.train()
    with (
        tqdm(total=steps, initial=pupil.step, desc="generator", unit="step", disable=None) as bar,
        interrupt_flag(Interrupt()) as interrupted,
    ):
        while pupil.step < steps:
            if interrupted() or time.monotonic() - saved > _CHECKPOINT_SECONDS:
                checkpoint.save(path, pupil)
                saved = time.monotonic()
            if interrupted():
                return False
            pupil.take_step(sequences)
            bar.set_postfix(nats=round(float(np.mean(pupil.nats[-_SHOWN:])), 4), refresh=False)
            bar.update()
    pupil.transformer.eval()
    return True


@torch.inference_mode()
def bits(transformer: Transformer, sequences: Tensor) -> float:
    """Return what an index of sequences int64 [N, T] costs under a generator on average, in bits."""
    parts = torch.split(sequences, transformer.sizes.measured_at_once)
    nats = sum(float(transformer.loss(part)) * len(part) for part in parts) / len(sequences)
    return nats / float(torch.log(torch.tensor(2.0)))


def _share(step: int, steps: int) -> float:
    """Return the share of the learning rate: a short rise, then half a cosine down to a tenth."""
    return min(1.0, (step + 1) / _WARM_UP_STEPS) * cosine(step / steps, _LAST_RATE)


def _optimizer(transformer: Transformer, rate: float) -> torch.optim.Optimizer:
    """Return AdamW, which draws matrices towards zero, but not biases, norms and places."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, weights in transformer.named_parameters():
        (matrices if name.endswith("weight") and weights.dim() > 1 else others).append(weights)
    groups = [{"params": matrices, "weight_decay": _DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=_BETAS)
