"""Pictures go out whole, in every format, or not at all."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from vqcodec.errors import OutputError
from vqcodec.exact.bitstream.profiles import Space, profile
from vqcodec.image import Picture, read_picture, to_pil, write_picture

LOSSLESS = ("png", "webp", "tif", "tiff", "bmp", "ppm", "jp2")
LOSSY = ("jpg", "jpeg", "avif")
KEEPS_ICC = ("png", "jpg", "webp", "tif", "avif")


PROFILE = profile(Space("odd", ((0.7, 0.3), (0.2, 0.7), (0.15, 0.05)), gamma=1.8))

Pixels = npt.NDArray[np.uint8]


@pytest.mark.parametrize("suffix", LOSSLESS + LOSSY)
def test_written_pictures_come_back(pixels: Pixels, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture.{suffix.upper()}"
    assert write_picture(Picture(pixels), path) == ()
    difference = np.abs(read_picture(path).pixels.astype(int) - pixels)
    assert difference.max() == 0 if suffix in LOSSLESS else difference.mean() < 3
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", LOSSLESS + LOSSY)
def test_profile_is_written_or_its_loss_is_said(pixels: Pixels, suffix: str) -> None:
    file = io.BytesIO()
    notes = write_picture(Picture(pixels, PROFILE), file, suffix)
    icc = read_picture(file.getvalue()).icc
    assert (icc == PROFILE) != any("ICC profile" in note for note in notes)
    assert icc == PROFILE or suffix not in KEEPS_ICC
    assert to_pil(Picture(pixels, PROFILE)).info["icc_profile"] == PROFILE


def test_outputs_that_cannot_be_written(pixels: Pixels, tmp_path: Path) -> None:
    picture, path = Picture(pixels), tmp_path / "picture.png"
    for target in (tmp_path / "picture", tmp_path / "picture.xyz", io.BytesIO()):
        with pytest.raises(OutputError, match="choose one of avif, bmp"):
            write_picture(picture, target)
    write_picture(picture, path)
    with pytest.raises(OutputError, match=r"picture\.png exists; use -f to overwrite it"):
        write_picture(picture, path)
    write_picture(picture, path, force=True)
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_format_cannot_hold_leaves_nothing_behind(tmp_path: Path) -> None:
    wide = Picture(np.zeros((1, 20000, 3), np.uint8))
    with pytest.raises(OutputError, match="cannot be written as WEBP"):
        write_picture(wide, tmp_path / "wide.webp")
    assert list(tmp_path.iterdir()) == []
