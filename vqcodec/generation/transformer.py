"""A causal Transformer over sequences of indices, in the manner of nanoGPT, much smaller.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners": normalization before each part, GELU,
learned places. What stands for an index in a sequence of P planes is known from its place; only where planes have
codebooks of their own do their indices have vectors of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.errors import SettingsError

_DEVIATION = 0.02
MOST_PLACES = 4096
"""The longest sequence: attention looks at all pairs of places."""
_RANGES = {
    "K": (2, 65536), "places": (1, MOST_PLACES), "tables": (1, MOST_PLACES), "width": (8, 4096), "layers": (1, 64),
    "heads": (1, 64),
}  # fmt: skip
_MEMORY_BYTES, _MOST_AT_ONCE = 1 << 28, 250
"""What the sequences that are worked on at once may take, and the most of them."""


def check_ranges(settings: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Raise SettingsError for a field of a generator's settings outside its range."""
    for key, (low, high) in ranges.items():
        if not low <= getattr(settings, key) <= high:
            raise SettingsError(f"{key}={getattr(settings, key)} of a generator is outside {low}..{high}")


@dataclass(frozen=True)
class Sizes:
    """K indices at each of `places`; `tables` of input vectors that take turns; width, layers and heads of the network.

    SettingsError for what is out of range or does not fit.
    """

    K: int
    places: int
    tables: int = 1
    width: int = 192
    layers: int = 4
    heads: int = 8

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)
        if self.width % self.heads:
            raise SettingsError(
                f"width={self.width} of a generator does not divide into {self.heads} heads; choose a multiple"
            )

    @property
    def drawn_at_once(self) -> int:
        """How many sequences are drawn together: their keys, values and logits float32 take about 256 MB at most."""
        return _at_once(2 * self.layers * self.width * self.places + 4 * self.K)

    @property
    def measured_at_once(self) -> int:
        """How many sequences pass together, with logits, their softmax and layers at all places, in the same memory."""
        return _at_once(self.places * (2 * self.K + 12 * self.width))

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def _at_once(floats: int) -> int:
    return max(1, min(_MOST_AT_ONCE, _MEMORY_BYTES // (4 * floats)))


class _Cache:
    """Keys and values of all layers and places [layers, 2, B, heads, places, width / heads], filled up to `place`."""

    def __init__(self, sizes: Sizes, count: int) -> None:
        self.kept = torch.empty(sizes.layers, 2, count, sizes.heads, sizes.places, sizes.width // sizes.heads)
        self.place = 0

    def add(self, number: int, key: Tensor, value: Tensor) -> Tensor:
        """Keep those [B, heads, 1, width / heads] of a layer at `place`; return all up to there [2, B, heads, ...]."""
        layer = self.kept[number]
        layer[0, :, :, self.place], layer[1, :, :, self.place] = key[:, :, 0], value[:, :, 0]
        return layer[:, :, :, : self.place + 1]


class Transformer(nn.Module):
    """Logits of each index of a sequence, given those before it."""

    def __init__(self, sizes: Sizes, dropout: float = 0.0) -> None:
        super().__init__()
        self.sizes = sizes
        self.indices = nn.Embedding(sizes.K * sizes.tables, sizes.width)
        self.start = nn.Parameter(torch.zeros(sizes.width))
        self.places = nn.Parameter(torch.zeros(sizes.places, sizes.width))
        self.blocks = nn.ModuleList(_Block(sizes.width, sizes.heads, dropout) for _ in range(sizes.layers))
        self.norm = nn.LayerNorm(sizes.width)
        self.head = nn.Linear(sizes.width, sizes.K, bias=False)
        self.dropout = nn.Dropout(dropout)
        for name, weights in self.named_parameters():
            if weights.dim() > 1 or name == "start":
                # What adds to the residual stream is smaller the more layers do (GPT-2).
                scale = (2 * sizes.layers) ** -0.5 if name.endswith("out.weight") else 1.0
                nn.init.normal_(weights, std=_DEVIATION * scale)

    def forward(self, sequences: Tensor) -> Tensor:
        """Return logits float32 [B, T, K] for sequences int64 [B, T]: those at t see what stands before t."""
        x = self._inputs(sequences[:, :-1], 0)
        x = torch.cat([self.start.expand(len(sequences), 1, -1), x], 1) + self.places[: sequences.shape[1]]
        return self._logits(x, None)

    def loss(self, sequences: Tensor) -> Tensor:
        """Return the mean cross entropy of all indices in nats."""
        return F.cross_entropy(self(sequences).flatten(0, 1), sequences.flatten())

    @torch.inference_mode()
    def sample(self, count: int, generator: torch.Generator, temperature: float = 1.0, top: int = 0) -> Tensor:
        """Return sequences int64 [count, places], drawn one index after the other, of all or of the `top` likeliest."""
        cache = _Cache(self.sizes, count)
        drawn: list[Tensor] = []
        for place in range(self.sizes.places):
            cache.place = place
            x = self._inputs(drawn[-1], place - 1) if drawn else self.start.expand(count, 1, -1)
            logits = self._logits(x + self.places[place], cache)[:, -1] / temperature
            if 0 < top < self.sizes.K:
                least = logits.topk(top, 1).values[:, -1:]
                logits = logits.masked_fill(logits < least, -torch.inf)
            drawn.append(torch.multinomial(logits.softmax(1), 1, generator=generator))
        return torch.cat(drawn, 1)

    def _inputs(self, sequences: Tensor, first: int) -> Tensor:
        """Return vectors [B, T, width] of indices [B, T] that stand at `first` and after it."""
        tables = torch.arange(first, first + sequences.shape[1], device=sequences.device) % self.sizes.tables
        vectors: Tensor = self.indices(sequences + self.sizes.K * tables)
        return vectors

    def _logits(self, x: Tensor, cache: _Cache | None) -> Tensor:
        x = self.dropout(x)
        for number, block in enumerate(self.blocks):
            x = block(x, cache, number)
        logits: Tensor = self.head(self.norm(x))
        return logits


class _Block(nn.Module):
    """Attention to what stands before, then a network at each place; both add to what comes in."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.rate = heads, dropout
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.queries = nn.Linear(width, 3 * width)
        self.attended_out = nn.Linear(width, width)
        self.inner = nn.Linear(width, 4 * width)
        self.inner_out = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, cache: _Cache | None, number: int) -> Tensor:
        """Return a tensor of the shape of x [B, T, width]; a cache has what stands before x, and gets x."""
        x = x + self.dropout(self.attended_out(self._attend(self.norms[0](x), cache, number)))
        change: Tensor = self.dropout(self.inner_out(F.gelu(self.inner(self.norms[1](x)))))
        return x + change

    def _attend(self, x: Tensor, cache: _Cache | None, number: int) -> Tensor:
        query, key, value = self.queries(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if cache is not None:
            key, value = cache.add(number, key, value)
        seen = F.scaled_dot_product_attention(
            query, key, value, dropout_p=self.rate if self.training else 0.0, is_causal=cache is None
        )
        return seen.transpose(1, 2).flatten(2)
