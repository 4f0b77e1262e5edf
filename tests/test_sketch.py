"""Sketches of shipped models: small pictures that look like the whole and cost a fraction of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_overlay import article
from tiny import picture

import vqcodec
from vqcodec.api import load_coder
from vqcodec.codec import Codec
from vqcodec.coder import quick_coder
from vqcodec.decoder import Part
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.exact.indices import prior_of
from vqcodec.image import Picture

Box = tuple[int, int, int, int]


@pytest.fixture(scope="module")
def photo_file() -> bytes:
    """A photograph by a shipped model."""
    with Image.open(Path(__file__).parent.parent / "samples" / "coffee.png") as image:
        return vqcodec.compress(np.asarray(image.convert("RGB")), 50, "photo", effort=0)


@pytest.mark.parametrize("box", [None, (35, 17, 577, 389)])
@pytest.mark.parametrize("divisor", [4, 8, 16, 40])
def test_a_sketch_looks_like_the_whole_made_smaller(photo_file: bytes, box: Box | None, divisor: int) -> None:
    whole = vqcodec.decompress(photo_file, crop=box)
    shown = vqcodec.decompress(photo_file, crop=box, thumbnail=max(whole.size) // divisor)
    wanted = np.asarray(whole.resize(shown.size, Image.Resampling.LANCZOS), np.float64)
    assert 10 * np.log10(255**2 / np.square(np.asarray(shown) - wanted).mean()) > 32


def test_a_sketch_has_what_is_drawn_over_the_picture_too() -> None:
    page = Picture(article())
    codec = load_coder()
    data = codec.compress(page, 50, 0, codec.drawn_parts(page))
    assert container.read(data).overlay is not None
    shown = np.asarray(vqcodec.decompress(data, thumbnail=80), int)
    small = Image.fromarray(codec.decompress(data).pixels).resize((80, 60), Image.Resampling.LANCZOS)
    assert np.abs(shown - np.asarray(small))[:12].max() <= 2
    assert np.square(shown - np.asarray(small)).mean() < 40


def test_a_sketch_runs_neither_the_synthesis_nor_more_groups_than_it_needs(
    photo_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = quick_coder(*model_file.load(model_file.resolve("photo")))
    monkeypatch.setattr(decoder.transform, "_session", None)  # whoever calls these fails
    monkeypatch.setattr(decoder.prior, "decode", None)
    runs: list[int] = []
    for net in decoder.prior.nets:  # type: ignore[attr-defined]
        run = net.run
        monkeypatch.setattr(net, "run", lambda *args, net=net, run=run: runs.append(net.group) or run(*args))
    counts = []
    for divisor in (16, 8, 4):
        runs.clear()
        decoder.picture_of(container.read(photo_file), Part(None, 600 // divisor))
        assert sorted(set(runs)) == list(range(len(set(runs))))  # the first ones
        counts.append(len(set(runs)))
    assert counts == sorted(counts) and counts[-1] <= len(decoder.prior.nets) // 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["tiny_model", "context_model"])
def test_the_first_channels_are_those_of_all(kind: str, request: pytest.FixtureRequest) -> None:
    codec = Codec.open(request.getfixturevalue(kind))
    parsed = container.read(codec.compress(Picture(picture(90, 120, seed=2)), 70, effort=0))
    prior = prior_of(parsed.header, codec.prior)
    codes = prior.decode(parsed.indices, (6, 8), 70).codes
    for channels in (1, 2, len(codes) // 2, len(codes)):
        first = prior.decode_first(parsed.indices, (6, 8), 70, channels)
        assert channels <= len(first) <= len(codes)
        np.testing.assert_array_equal(first, codes[: len(first)])
