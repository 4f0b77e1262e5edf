"""The Pillow plug-in: files open without torch, decode when asked, save with their options, fail as Pillow does."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from test_architecture import modules_after
from test_examples import run_example
from tiny import Run, picture

import vqcodec
from vqcodec import pillow
from vqcodec.codec import Codec
from vqcodec.decoder import Part
from vqcodec.errors import InputError, VqcError, VqcWarning
from vqcodec.exact.bitstream import ancillary, container
from vqcodec.exact.bitstream.sections import ALPHA, EXIF, Section
from vqcodec.image import to_pil

ROOT = Path(__file__).parent.parent


def test_it_opens_what_the_codec_decodes(packed: Path, tiny_model: Path, tiny_codec: Codec) -> None:
    with Image.open(packed) as image:
        assert isinstance(image, pillow.VqcImageFile)
        assert (image.format, image.mode, image.size) == ("VQC", "RGB", (101, 70))
        assert image.get_format_mimetype() == "image/x-vqc"
        image.model = str(tiny_model)
        pixels = np.asarray(image)
        assert np.array_equal(pixels, np.asarray(image)), "and again, from memory"
    assert np.array_equal(pixels, tiny_codec.decompress(packed.read_bytes()).pixels)
    with Image.open(io.BytesIO(packed.read_bytes()), formats=["VQC"]) as image:
        image.model = tiny_model
        assert image.resize((10, 7)).size == (10, 7)


def test_it_saves_with_its_options(pixels: npt.NDArray[np.uint8], tiny_model: Path, tmp_path: Path) -> None:
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.vqc", quality=20, effort=0, model=tiny_model, optimize=True)
    expected = vqcodec.compress(pixels, 20, tiny_model, effort=0)
    assert (tmp_path / "a.vqc").read_bytes() == expected
    file = io.BytesIO()
    image.save(file, "VQC", model=tiny_model, max_bytes=len(expected))
    assert len(file.getvalue()) <= len(expected)
    assert container.read(file.getvalue()).header.quality >= 1
    image.convert("RGBA").save(tmp_path / "b.VQC", model=tiny_model, quality=20, background="white", strip="all")
    with pytest.warns(VqcWarning, match="16 bits"):
        Image.fromarray(np.full((9, 9), 30000, np.uint16)).save(tmp_path / "c.vqc", model=tiny_model)


def said(image: Image.Image, codec: Codec) -> None:
    """Hold an image against what the plug-in makes of its file, before and after it is decoded."""
    data = vqcodec.compress(image, 30, codec)
    expected = to_pil(codec.decompress(data))
    with Image.open(io.BytesIO(data)) as opened:
        assert (opened.mode, opened.size, opened.info) == (expected.mode, expected.size, expected.info)
        opened.model = codec.metadata.name
        opened.load()
        assert np.array_equal(np.asarray(opened), np.asarray(expected))


def test_modes_and_what_is_said_of_a_picture(
    pixels: npt.NDArray[np.uint8], tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vqcodec.api.load_coder", lambda model: tiny_codec)
    monkeypatch.setattr("vqcodec.exact.metadata.resolve", lambda model: model)
    image = Image.fromarray(pixels)
    alpha = Image.linear_gradient("L").resize(image.size)
    said(image, tiny_codec)
    said(image.convert("L"), tiny_codec)
    image.putalpha(alpha)
    said(image, tiny_codec)
    said(image.convert("LA"), tiny_codec)
    image.info |= {"icc_profile": np.random.default_rng(1).bytes(300), "xmp": b"<x:xmpmeta/>"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said(image, tiny_codec)
        said(image.convert("LA"), tiny_codec)


def test_a_file_is_closed_and_errors_are_pillow_s_too(packed: Path, tmp_path: Path, tiny_model: Path) -> None:
    with Image.open(packed) as image, pytest.raises(OSError, match="which is not shipped with this vqc") as error:
        image.load()
    assert isinstance(error.value, VqcError)
    damaged = tmp_path / "damaged.vqc"
    damaged.write_bytes(packed.read_bytes()[:-1])
    with pytest.raises(OSError, match="checksum does not match") as error:
        Image.open(damaged)
    assert isinstance(error.value, VqcError)
    with pytest.raises(OSError, match="quality 0 is outside"):
        Image.new("RGB", (20, 20)).save(tmp_path / "x.vqc", quality=0, model=tiny_model)
    assert not (tmp_path / "x.vqc").exists()
    damaged.write_bytes(b"\x89PNG")
    with pytest.raises(Image.UnidentifiedImageError):
        Image.open(damaged)


def with_alpha(packed: Path, payload: bytes) -> bytes:
    """The file with an alpha section of such a payload, which may be damaged."""
    parsed = container.read(packed.read_bytes())
    return container.write_sections(parsed.header, [*parsed.sections, Section(ALPHA, payload)])


def test_alpha_is_unpacked_with_the_pixels(packed: Path, tiny_model: Path) -> None:
    with Image.open(io.BytesIO(with_alpha(packed, b"\0damaged"))) as image:
        assert (image.mode, image.size) == ("RGBA", (101, 70))
        assert isinstance(image, pillow.VqcImageFile)
        image.model = tiny_model
        with pytest.raises(OSError, match="the alpha section"):
            image.load()


def test_too_many_pixels_are_refused_before_anything_is_unpacked(
    packed: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 101 * 70 // 2 - 1)
    monkeypatch.setattr(ancillary, "unpack_stream", lambda section: pytest.fail("unpacked"))
    parsed = container.read(with_alpha(packed, b"\0damaged"))
    data = container.write_sections(parsed.header, [*parsed.sections, Section(EXIF, b"damaged")])
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))
    packed.write_bytes(data)
    with pytest.raises(InputError, match="is 101 x 70, more than Pillow opens"):
        pillow.make_thumbnail(packed, tmp_path / "small.png", 16)
    assert not (tmp_path / "small.png").exists()


def test_a_thumbnail_is_the_fast_one(packed: Path, tiny_codec: Codec, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("vqcodec.api.load_coder", lambda model: tiny_codec)
    monkeypatch.setattr("vqcodec.exact.model_file.needed", lambda fingerprint, model: model)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 101 * 70 - 1)  # of which Pillow warns, and a thumbnail does not
    pillow.make_thumbnail(packed, tmp_path / "small.png", 16)
    expected = tiny_codec.picture_of(container.read(packed.read_bytes()), Part(thumbnail=16))
    with Image.open(tmp_path / "small.png") as image:
        assert np.array_equal(np.asarray(image), expected.pixels) and image.size == (16, 11)


def test_opening_needs_no_torch(packed: Path) -> None:
    code = f"from PIL import Image\nimport vqcodec.pillow\nassert Image.open({str(packed)!r}).size == (101, 70)"
    assert not {"torch", "safetensors.torch"} & modules_after(code)


def test_nothing_is_registered_without_the_import(packed: Path) -> None:
    code = f"import vqcodec\nfrom PIL import Image\nImage.open({str(packed)!r})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert "UnidentifiedImageError" in result.stderr


@pytest.mark.slow
def test_the_example_and_the_page(run: Run, tmp_path: Path) -> None:
    Image.fromarray(picture(80, 96, seed=3)).save(tmp_path / "photo.png")
    assert "VQC RGB (96, 80) image/x-vqc" in run_example("pillow_plugin", tmp_path / "photo.png", tmp_path)
    with Image.open(tmp_path / "thumbnail.png") as image:
        assert image.size == (64, 53)
    page = (ROOT / "docs" / "pillow.md").read_text(encoding="utf-8")
    program = page.split("```python\n")[1].split("```")[0]
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0 and result.stdout == "(96, 80) RGB\n", result.stderr
    assert [option for option in pillow.OPTIONS if f"`{option}`" not in page] == []
