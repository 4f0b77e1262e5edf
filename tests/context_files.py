"""Files made by the encoder in plain Python, and what the reference decoder says of files."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from context_by_hand import Encoder, Indices, Model, make_file, make_payload, tile_sizes

reference: Any = importlib.import_module("reference_decoder")

CONTEXT, ADAPTIVE = 1, 2  # the prior's kinds in the header byte


def cause_of(data: bytes, model: bytes) -> tuple[str, str]:
    """The fault that the reference decoder finds in a file, and its sentence."""
    with pytest.raises(reference.DecodeError) as fault:
        reference.decode(data, model)
    assert str(fault.value).endswith(".")
    return fault.value.cause, str(fault.value)


def joined(parts: list[Indices], h: int, w: int, code: int) -> Indices:
    """The picture's indices out of its tiles', of which each position has f x f."""
    f = parts[0].shape[1] // next(rows.stop for rows, _ in tile_sizes(h, w, code))
    whole = np.zeros((len(parts[0]), f * h, f * w), np.uint16)
    for (rows, columns), part in zip(tile_sizes(h, w, code), parts, strict=True):
        whole[:, f * rows.start : f * rows.stop, f * columns.start : f * columns.stop] = part
    return whole


def encoded(
    model: Model, h: int, w: int, half_steps: int = 100, code: int = 0, kind: int = CONTEXT
) -> tuple[list[bytes], list[Indices]]:
    """Stream and random indices of each tile of a picture."""
    rng = np.random.default_rng([h, w, half_steps, code])
    row = ((half_steps - 2) * (len(model.arrays["context.unit"]) - 1) + 99) // 198
    tiles = []
    for rows, columns in tile_sizes(h, w, code):
        size = (rows.stop - rows.start, columns.stop - columns.start)
        draw = drawer(rng) if kind == ADAPTIVE else lambda table: int(rng.integers(len(table)))
        tiles.append(Encoder(model, row, *size, draw, kind == ADAPTIVE).run())
    return [stream for stream, _ in tiles], [part for _, part in tiles]


def drawer(rng: np.random.Generator) -> Callable[[Sequence[int]], int]:
    """What draws symbols of which a few occur again and again, whatever the table says, so that tables adapt."""
    return lambda table: int(len(table) * rng.random() ** 4)


def coded_file(
    model: Model, h: int, w: int, half_steps: int = 100, code: int = 0, kind: int = CONTEXT
) -> tuple[bytes, Indices]:
    """A file of random indices, and these."""
    streams, parts = encoded(model, h, w, half_steps, code, kind)
    data = make_file(model, (h, w), half_steps, kind | code << 3, *make_payload(streams, parts, code))
    return data, joined(parts, h, w, code)
