"""Quantizers that learn, and clustered features that tests train them on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vqcodec import quantizers
from vqcodec.quantizers import Learned, QuantizerSettings, settings_of

ANCHORS = ("closest", "random", "unique", "probrandom")


@dataclass(frozen=True)
class Case:
    """A quantizer of four channels with options of its method."""

    settings: QuantizerSettings
    options: dict[str, Any] = field(default_factory=dict)

    def make(self, seed: int = 0) -> Learned:
        torch.manual_seed(seed)
        quantizer = quantizers.build(self.settings, self.options)
        assert isinstance(quantizer, Learned)
        return quantizer.train()


def one_unit(name: str, **changes: Any) -> QuantizerSettings:
    return settings_of(**({"name": name, "K": 32, "m": 1, "d_star": 4} | changes))


CASES = {
    "vq": Case(one_unit("vq")),
    "vq-ema": Case(one_unit("vq"), {"learn": "ema"}),
    "looc-ema": Case(QuantizerSettings("looc", K=32, m=2, d_star=2), {"learn": "ema"}),
    "looc-beta-ema": Case(QuantizerSettings("looc", K=32, m=2, d_star=2, beta=2), {"learn": "ema"}),
    "cvq-ema": Case(one_unit("cvq"), {"learn": "ema"}),
    "pq-ema": Case(settings_of("pq", K=8, m=2, d_star=2), {"learn": "ema"}),
    "vq-unit": Case(one_unit("vq", match="cosine"), {"codes": "unit"}),
    "vq-unit-ema": Case(one_unit("vq", match="cosine"), {"codes": "unit", "learn": "ema"}),
    "cvq-cosine": Case(one_unit("cvq", match="cosine")),
    "cvq-offline": Case(one_unit("cvq"), {"when": "offline"}),
    "cvq-contrastive": Case(one_unit("cvq"), {"contrastive": 0.5}),
    "cvq-contrastive-cosine": Case(one_unit("cvq", match="cosine"), {"contrastive": 0.5}),
    "looc-random": Case(QuantizerSettings("looc", K=32, m=2, d_star=2), {"anchor": "random"}),
    "looc": Case(QuantizerSettings("looc", K=32, m=2, d_star=2)),
    "pq": Case(settings_of("pq", K=8, m=2, d_star=2)),
    "rq": Case(one_unit("rq", depth=3)),
    "hvq": Case(one_unit("hvq"), {"interval": 5, "noise": 0.2}),
    "restart": Case(one_unit("restart"), {"threshold": 0.8}),
    "vqwae": Case(one_unit("vqwae"), {"weight": 16.0}),
    "restart-ema": Case(one_unit("restart"), {"threshold": 0.8, "learn": "ema"}),
    "pq-anchors": Case(settings_of("pq", K=8, m=2, d_star=2), {"anchor": "closest"}),
} | {f"cvq-{anchor}": Case(one_unit("cvq"), {"anchor": anchor}) for anchor in ANCHORS}


def clustered(seed: int, d: int = 4) -> Tensor:
    """Latents [4, d, 12, 12] around eight centers that are the same for all seeds."""
    centers = torch.randn(8, d, generator=torch.Generator().manual_seed(99)) * 2
    generator = torch.Generator().manual_seed(seed)
    vectors = centers[torch.randint(8, (4 * 144,), generator=generator)]
    vectors = vectors + 0.3 * torch.randn(vectors.shape, generator=generator)
    return vectors.reshape(4, 12, 12, d).movedim(-1, 1).contiguous()


def train(quantizer: Learned, seeds: range) -> Tensor:
    """Take one step of descent for each seed; return the usage in the last one."""
    optimizer = torch.optim.SGD([quantizer.codebook], lr=0.5)
    for seed in seeds:
        optimizer.zero_grad()
        quantized = quantizer(clustered(seed).requires_grad_())
        quantized.loss.backward()
        optimizer.step()
    return torch.as_tensor(quantized.usage)


def vectors_of(z: Tensor) -> Tensor:
    return z.movedim(1, -1).reshape(-1, z.shape[1])
