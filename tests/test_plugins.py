"""HEIC and JPEG XL: pixels, alpha, metadata and orientation by their plug-ins, and what is said without these."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import Run, picture

from vqcodec.errors import InputError
from vqcodec.image import find_pictures, plugins, read_picture

PIXELS = np.dstack([picture(40, 64, seed=2), np.tile(np.arange(64, dtype=np.uint8) * 4, (40, 1))])
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
ORIENTATION, MAKE = 0x0112, 0x010F
KINDS = {"HEIC": ("pillow_heif", "heic"), "JPEG XL": ("pillow_jxl", "jxl")}
LOSSLESS: dict[str, dict[str, Any]] = {
    "HEIC": {"format": "HEIF", "quality": -1, "chroma": 444, "matrix_coefficients": 0},
    "JPEG XL": {"format": "JXL", "lossless": True},
}
kinds = pytest.mark.parametrize("kind", KINDS)


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[ORIENTATION], tags[MAKE] = orientation, "Maker"
    return tags.tobytes()


def made(kind: str, pixels: np.ndarray[Any, Any] = PIXELS, **options: Any) -> bytes:
    """The bytes of a lossless file of a kind; the test is skipped where its plug-in is missing."""
    pytest.importorskip(KINDS[kind][0])
    plugins.register(kind, "")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, **(LOSSLESS[kind] | options))
    return file.getvalue()


@kinds
def test_pixels_alpha_and_metadata_are_kept(kind: str) -> None:
    found = read_picture(made(kind, exif=exif(1), xmp=XMP), background=None)
    seen = PIXELS[..., 3] > 0
    np.testing.assert_array_equal(found.pixels[seen], PIXELS[..., :3][seen])
    np.testing.assert_array_equal(found.alpha, PIXELS[..., 3])
    assert found.exif is not None and b"Maker" in found.exif
    assert (found.xmp, found.icc, found.notes) == (XMP, None, ())


@kinds
def test_nothing_is_turned_twice(kind: str) -> None:
    """HEIC turns as EXIF says when it is written, and back when it is read; in JPEG XL EXIF does not count."""
    plain = PIXELS[..., :3]
    upright = np.rot90(plain, -1) if kind == "HEIC" else plain
    found = read_picture(made(kind, plain, exif=exif(6)))
    np.testing.assert_array_equal(found.pixels, upright)
    assert found.exif is not None
    tags = Image.Exif()
    tags.load(found.exif)
    assert tags[ORIENTATION] == 1


def test_a_jpeg_packed_in_jpeg_xl_is_turned_as_the_jpeg_is(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl")
    plugins.register("JPEG XL", "")
    Image.fromarray(PIXELS[..., :3]).save(tmp_path / "a.jpg", exif=exif(6))
    with Image.open(tmp_path / "a.jpg") as image:
        image.save(tmp_path / "a.jxl", lossless_jpeg=True)
    expected, found = read_picture(tmp_path / "a.jpg"), read_picture(tmp_path / "a.jxl")
    assert found.pixels.shape == (64, 40, 3)
    np.testing.assert_array_equal(found.pixels, expected.pixels)


def test_deep_pictures_are_said_to_lose_bits() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_bytes(mode="RGB;10", size=(16, 16), data=bytes(16 * 16 * 6)).save(file)
    assert read_picture(file.getvalue()).notes == ("10 bits per sample are reduced to 8",)
    assert "16 bits per sample" in read_picture(made("JPEG XL", np.zeros((16, 16), np.uint16))).notes[0]


def test_the_color_space_of_heic_is_kept() -> None:
    data = made("HEIC", PIXELS[..., :3], color_primaries=12, transfer_characteristics=13)
    assert read_picture(data).icc is not None


@kinds
def test_damage_is_named(kind: str) -> None:
    data = made(kind)
    with pytest.raises(InputError, match=f"a.bin is truncated or damaged.*{kind}"):
        read_picture(data[: len(data) // 2], "a.bin")


@kinds
def test_folders_are_searched_for_them(kind: str, run: Run, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / f"a.{KINDS[kind][1]}"
    path.write_bytes(made(kind))
    assert find_pictures(tmp_path / "in") == [path]
    assert run("compress", "-r", tmp_path / "in", "-o", tmp_path / "out", "--model", tiny_model).code == 0
    assert (tmp_path / "out" / "a.vqc").exists()


@kinds
def test_without_the_plug_in_its_extra_is_named(
    kind: str, run: Run, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, extra = KINDS[kind]
    monkeypatch.setitem(sys.modules, module, None)
    signature = b"\0\0\0\x18ftypheic" if kind == "HEIC" else b"\0\0\0\x0cJXL \r\n\x87\n"
    (tmp_path / f"a.{extra}").write_bytes(signature + bytes(40))
    Image.fromarray(PIXELS).save(tmp_path / "b.png")
    said = f"needs {module}; run: pip install 'vqcodec[{extra}]'\n"
    alone = run("compress", tmp_path / f"a.{extra}", "--model", tiny_model)
    assert alone.code == 1 and alone.err.endswith(f"is {kind}, which {said}")
    found = run("compress", "-r", tmp_path, "-o", tmp_path / "out", "--model", tiny_model)
    assert found.code == 0
    note = found.err.splitlines(keepends=True)[0]
    assert "1 file left out" in note and note.endswith(f"; {kind} {said}")


@pytest.mark.parametrize("size", [0, 1, 7, 1 << 31])
def test_boxes_of_any_length_end(size: int) -> None:
    data = b"\0\0\0\x0cJXL \r\n\x87\n" + struct.pack(">I", size) + b"xml " + struct.pack(">Q", 20) + XMP
    found = list(plugins._boxes(data, b"xml "))
    assert found in ([], [data[20:]], [XMP[:4]])
