"""Drawn pictures: it is said where a lossless format takes fewer bytes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, features
from tiny import Run, picture

from vqcodec.image import Picture, lossless
from vqcodec.image.lossless import smaller_without_loss


def page() -> npt.NDArray[np.uint8]:
    """A white page with black marks."""
    pixels = np.full((120, 160, 3), 255, np.uint8)
    pixels[::9, 10:150:3] = 0
    return pixels


def test_a_drawn_picture_is_named_with_its_bytes() -> None:
    stream = io.BytesIO()
    Image.fromarray(page()[..., 0]).save(stream, "WEBP", lossless=True, method=2)
    least = stream.tell()
    said = smaller_without_loss(Picture(page()), least + 1)
    assert said == f"this looks drawn, and as lossless WebP it takes {least:,} bytes instead of {least + 1:,}"
    assert smaller_without_loss(Picture(page()), least) is None


def test_what_else_is_kept_counts() -> None:
    alpha = np.random.default_rng(0).integers(0, 256, (120, 160), np.uint8)
    kept = Picture(page(), alpha=alpha, exif=bytes(1000))
    said, plainly = (smaller_without_loss(picture, 10**6) for picture in (kept, Picture(page())))
    assert said is not None and plainly is not None
    more_bytes = [int(text.split(" bytes")[0].split()[-1].replace(",", "")) for text in (said, plainly)]
    assert more_bytes[0] > more_bytes[1] + 1000 + alpha.size


def test_without_webp_it_is_a_png(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: False)
    said = smaller_without_loss(Picture(page()), 10**6)
    assert said is not None and "as lossless PNG" in said


def test_a_side_too_long_for_webp_is_a_png() -> None:
    said = smaller_without_loss(Picture(np.full((16384, 9, 3), 255, np.uint8)), 10**6)
    assert said is not None and "as lossless PNG" in said
    said = smaller_without_loss(Picture(np.full((9, 16383, 3), 255, np.uint8)), 10**6)
    assert said is not None and "as lossless WebP" in said


def test_a_trial_that_fails_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise ValueError("encoding error 5")

    monkeypatch.setattr(lossless, "_bytes", fail)
    assert smaller_without_loss(Picture(page()), 10**6) is None


def test_photographs_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lossless, "_bytes", lambda *_: pytest.fail("tried"))
    assert smaller_without_loss(Picture(picture(120, 160, seed=1)), 10**6) is None
    assert smaller_without_loss(Picture(np.zeros((5, 1, 3), np.uint8)), 10**6) is None


def test_compress_says_it(run: Run, tmp_path: Path, tiny_model: Path) -> None:
    Image.fromarray(page()).save(tmp_path / "page.png")
    Image.fromarray(picture(60, 70, seed=1)).save(tmp_path / "photo.png")
    options = ("--model", str(tiny_model), "-q", "95")
    assert "this looks drawn, and as lossless WebP it takes" in run("compress", *options, tmp_path / "page.png").err
    assert "drawn" not in run("compress", *options, tmp_path / "photo.png").err
