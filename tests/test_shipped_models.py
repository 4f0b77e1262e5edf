"""What every shipped model must do: stay small, be found by its files, decode exactly by both decoders."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vqcodec.api import load_coder
from vqcodec.codec import Codec
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.exact.headers import Size, check_size
from vqcodec.image import Picture

sys.path.insert(0, str(Path(__file__).parent.parent / "bitstream"))
reference: Any = importlib.import_module("reference_decoder")

MOST_BYTES = 25_000_000
shipped = pytest.mark.parametrize("path", model_file.shipped(), ids=lambda path: path.stem)


def test_the_models_that_the_readme_names_are_shipped() -> None:
    assert [path.stem for path in model_file.shipped()] == ["photo", "perceptual"]


@shipped
def test_a_shipped_model_is_small_and_says_what_it_was_trained_on(path: Path) -> None:
    metadata = model_file.read_metadata(path)
    assert path.stat().st_size <= MOST_BYTES
    assert metadata.name == path.stem
    assert metadata.training["data"] and metadata.training["pictures"] > 0
    assert "/" not in str(metadata.training.get("settings", {}).get("init", ""))


@shipped
@pytest.mark.parametrize("quality", [1.0, 12.0, 80.0])
def test_a_file_of_a_shipped_model_decodes_without_naming_it(
    path: Path, quality: float, pixels: npt.NDArray[np.uint8]
) -> None:
    codec = Codec.open(path.stem)
    encoded = codec.encode(pixels, quality)
    data = codec.compress(Picture(pixels), quality)
    assert model_file.needed(container.read(data).header.fingerprint) == path
    assert np.array_equal(codec.unpack(container.read(data)).choice.indices, encoded.choice.indices)
    assert np.array_equal(reference.decode(data, path.read_bytes()), encoded.choice.indices)
    assert np.array_equal(codec.decompress(data).pixels, codec.decode(encoded))
    assert np.abs(codec.decode(encoded).astype(float) - pixels).mean() < 25


@shipped
def test_pictures_of_150_megapixels_have_a_file(path: Path) -> None:
    check_size(Size(15_000, 10_000, 50), model_file.read_metadata(path))


@shipped
@pytest.mark.parametrize("quality", [60.0, 80.0, 95.0])
@pytest.mark.parametrize("around", [0, 30])
def test_a_lone_white_block_in_the_dark_comes_back_white(path: Path, quality: float, around: int) -> None:
    # Twice as far from what the prior expects of it as any latent is from zero: lamps and windows at night.
    pixels = np.full((256, 256, 3), around, np.uint8)
    pixels[80:96, 112:128] = 255
    codec = load_coder(path.stem)
    decoded = codec.decompress(codec.compress(Picture(pixels), quality, 1)).pixels.astype(float)
    assert abs(decoded[80:96, 112:128].mean() - 255) < 5
