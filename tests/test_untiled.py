"""With a context prior a large picture is decoded in tiles only, so that a few bytes cost little."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vqcodec.codec import Codec
from vqcodec.coder import TILE
from vqcodec.errors import FormatError
from vqcodec.exact.bitstream import container
from vqcodec.exact.priors import ContextPrior
from vqcodec.image import Picture


def test_a_large_untiled_file_is_refused_at_once(context_model: Path) -> None:
    codec = Codec.open(context_model)
    parsed = container.read(codec.compress(Picture(np.zeros((20, 20, 3), np.uint8)), 50))
    data = container.write(replace(parsed.header, width=11585, height=11585), b"")
    started = time.process_time()
    with pytest.raises(FormatError, match="without tiles"):
        codec.decompress(data)
    assert time.process_time() - started < 5


def test_indices_of_a_large_picture_are_those_of_its_tiles(
    context_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = Codec.open(context_model)
    pixels = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8).repeat(81, 0).repeat(90, 1)
    whole = codec.compress(Picture(pixels), 30, effort=0)
    assert ContextPrior.most_untiled == 1 << 13
    monkeypatch.setattr(ContextPrior, "most_untiled", 6144)
    encoded = codec.encode(pixels, 30, effort=0)
    assert encoded.size.tile == TILE
    assert codec.pack(encoded) == whole
