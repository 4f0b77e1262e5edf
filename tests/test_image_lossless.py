"""Drawn pictures: it is said where a lossless format takes fewer bytes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, features
from tiny import Run, picture

from vqcodec.image import lossless
from vqcodec.image.lossless import smaller_without_loss


def page() -> npt.NDArray[np.uint8]:
    """A white page with black marks."""
    pixels = np.full((120, 160, 3), 255, np.uint8)
    pixels[::9, 10:150:3] = 0
    return pixels


def test_a_drawn_picture_is_named_with_its_bytes() -> None:
    stream = io.BytesIO()
    Image.fromarray(page()).save(stream, "WEBP", lossless=True, method=2)
    least = stream.tell()
    said = smaller_without_loss(page(), least + 1)
    assert said == f"this looks drawn, and as lossless WebP it takes {least:,} bytes instead of {least + 1:,}"
    assert smaller_without_loss(page(), least) is None


def test_without_webp_it_is_a_png(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: False)
    said = smaller_without_loss(page(), 10**6)
    assert said is not None and "as lossless PNG" in said


def test_photographs_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lossless, "_bytes", lambda *_: pytest.fail("tried"))
    assert smaller_without_loss(picture(120, 160, seed=1), 10**6) is None
    assert smaller_without_loss(np.zeros((5, 1, 3), np.uint8), 10**6) is None


def test_compress_says_it(run: Run, tmp_path: Path, tiny_model: Path) -> None:
    Image.fromarray(page()).save(tmp_path / "page.png")
    Image.fromarray(picture(60, 70, seed=1)).save(tmp_path / "photo.png")
    options = ("--model", str(tiny_model), "-q", "95")
    assert "this looks drawn, and as lossless WebP it takes" in run("compress", *options, tmp_path / "page.png").err
    assert "drawn" not in run("compress", *options, tmp_path / "photo.png").err
