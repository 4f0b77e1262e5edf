"""What LooC's beta and PQ are worth as their paper describes them and as its code was released, without a network.

    python benchmarks/released_layouts.py

Latents are Gaussian fields [64, 32, 8, 8] of variance 1: neighbors along rows and columns have a correlation, channels
have none. Each way to quantize gets a codebook of its own by Lloyd's algorithm, from codevectors among its features.
The error is measured on other fields than those: 256 codevectors of 4,096 features know these better than any others.
It is that of the quantizer alone: what a decoder has, less the same without quantizing, so that the blur of
interpolating and averaging, around which a network is trained, counts in neither reading.

Prints a Markdown table: bits of each latent value in raw indices, and 10 log10(1 / error) in dB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vqcodec import quantizers
from vqcodec.networks.layouts import from_subpixels, rows_and_channels, to_subpixels
from vqcodec.quantizers import Quantizer, settings_of

CORRELATIONS = (0.0, 0.9)
BATCH, CHANNELS, SIDE, UNIT, BETA, ROWS = 64, 32, 8, 4, 2, 4
Change = Callable[[Tensor], Tensor]


def as_it_is(z: Tensor) -> Tensor:
    """Return z."""
    return z


@dataclass(frozen=True)
class Way:
    """How latents are quantized: by a method with K codevectors, as `before` arranges them, seen through `after`."""

    label: str
    method: str
    K: int
    before: Change = as_it_is
    after: Change = as_it_is
    more: dict[str, Any] = field(default_factory=dict)

    def error_db(self, learned: Tensor, z: Tensor) -> tuple[float, float]:
        """Return the bits of each value of z [B, d, h, w] in raw indices, and 10 log10(1 / error).

        The codebook is that of latents `learned` [B', d, h, w].
        """
        quantizer, arranged = self._of(self.before(learned)), self.before(z)
        with torch.inference_mode():
            indices = quantizer.encode(arranged)
            plain = F.avg_pool2d(quantizer.expand(arranged), quantizer.beta)
            error = self.after(quantizer.decode(indices)) - self.after(plain)
        bits = indices.numel() * torch.log2(torch.tensor(float(self.K))) / z.numel()
        return float(bits), float(-10 * error.square().mean().log10())

    def _of(self, arranged: Tensor) -> Quantizer:
        """Return the quantizer whose codevectors are the middles of arranged latents."""
        units = arranged.shape[1] // UNIT
        quantizer = quantizers.build(settings_of(self.method, self.K, units, UNIT, **self.more), {}).eval()
        quantizer.begin(quantizer.expand(arranged), torch.Generator().manual_seed(0))
        quantizer.cluster(arranged)
        return quantizer


def subpixels(z: Tensor) -> Tensor:
    """Return z as the released beta arranges it."""
    return to_subpixels(z, BETA)


def from_them(z: Tensor) -> Tensor:
    """Return what the released beta makes of that."""
    return from_subpixels(z, BETA)


def rows(z: Tensor) -> Tensor:
    """Return z as the released PQ arranges it."""
    return rows_and_channels(z, ROWS)


WAYS = (
    Way("LooC 256 × 4", "looc", 256),
    Way("LooC 256 × 4, β = 2 of the text", "looc", 256, more={"beta": BETA}),
    Way("LooC 256 × 4, β = 2 as released", "looc", 256, subpixels, from_them),
    Way("PQ 256 × 4", "pq", 256),
    Way("PQ 8 × 4", "pq", 8),
    Way("PQ 8 × 4 of rows", "pq", 8, rows, rows),
    Way("PQ 8 × 4 of rows by cosine, as released", "pq", 8, rows, rows, {"match": "cosine"}),
)


def fields(correlation: float, seed: int) -> Tensor:
    """Return latents float32 [64, 32, 8, 8] of variance 1 whose neighbors along both axes have this correlation."""
    noise = torch.randn(BATCH, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    distance = (torch.arange(SIDE)[:, None] - torch.arange(SIDE)).abs()
    root = torch.linalg.cholesky(torch.tensor(correlation) ** distance)
    return root @ noise @ root.T


def table() -> list[str]:
    """Return the lines of the table."""
    lines = ["| | bits of a value | " + " | ".join(f"correlation {each:g}" for each in CORRELATIONS) + " |"]
    lines.append("|---|--:|" + "--:|" * len(CORRELATIONS))
    for way in WAYS:
        found = [way.error_db(fields(correlation, 0), fields(correlation, 1)) for correlation in CORRELATIONS]
        lines.append(f"| {way.label} | {found[0][0]:.2f} | " + " | ".join(f"{db:.1f} dB" for _, db in found) + " |")
    return lines


if __name__ == "__main__":
    print("\n".join(table()))
