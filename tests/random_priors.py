"""Random context priors of several sizes, and latents to code with them."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vqcodec.encoder import ContextEncoder
from vqcodec.exact import model_file
from vqcodec.exact.model_file import Arrays, Metadata
from vqcodec.exact.priors import ContextPrior
from vqcodec.exact.priors.tables import Choice

sys.path.insert(0, str(Path(__file__).parent.parent / "bitstream"))
random_models: Any = importlib.import_module("random_models")

PLANS = {
    plan.name: plan
    for plan in (
        random_models.ContextPlan("two_groups"),
        random_models.ContextPlan("one_group", groups=(6,), deviation_classes=5, rows=1, zeros=(0, 15)),
        random_models.ContextPlan(
            "three_groups", groups=(4, 4, 8), embed=8, hidden=16, deviation_classes=31, K=40, scale=9.0
        ),
        random_models.ContextPlan(
            "wide_layers",
            groups=(16, 48),
            embed=32,
            hidden=64,
            deviation_classes=31,
            tables=40,
            patterns=("fine", "coarse"),
        ),
        random_models.ContextPlan(
            "masked", groups=(2, 4, 14, 32), embed=8, hidden=16, deviation_classes=31, tables=40, masking=True
        ),
        random_models.ContextPlan(
            "some_qualities",
            groups=(2, 4, 2, 4),
            rows=5,
            patterns=("fine", "deep", "coarse", "fine"),
            starts=(0, 3, 1, 4),
        ),
    )
}


@cache
def model(name: str) -> tuple[Metadata, Arrays]:
    """A model by the name of its plan; not to be changed."""
    made: tuple[Metadata, Arrays] = random_models.make_model(PLANS[name])
    return made


@cache
def prior(name: str) -> ContextPrior:
    """The prior of a model."""
    made = model_file.make_prior(*model(name))
    assert isinstance(made, ContextPrior)
    return made


def latents(channels: int, grid: tuple[int, int], seed: int) -> npt.NDArray[np.float32]:
    """Latents float32 [channels, h, w] in steps: channels from nearly nothing to beyond the fine codebook."""
    deviation = np.logspace(-1, 1.3, channels, dtype=np.float32)[:, None, None]
    return deviation * np.random.default_rng(seed).standard_normal((channels, *grid), np.float32)


def chosen(name: str, grid: tuple[int, int], quality: float, seed: int = 0, weight: float = 0.15) -> Choice:
    """What the encoder makes of random latents."""
    z = latents(prior(name).d, grid, seed)
    return ContextEncoder(prior(name)).choose(z, quality, weight)


def drawn(name: str, grid: tuple[int, int], quality: float, seed: int = 0) -> Choice:
    """Indices drawn from the very tables that code them."""
    found: Choice = random_models.draw_context(np.random.default_rng(seed), prior(name), grid, quality)
    return found
