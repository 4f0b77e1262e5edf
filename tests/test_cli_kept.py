"""The command line of what a file keeps besides colors: transparency, gray, metadata and times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from metadata_files import XMP, XMP_UPRIGHT, exif, picture_file, said_by
from PIL import Image
from tiny import Run, picture

import vqcodec
from vqcodec.errors import SettingsError
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.sections import ALPHA, EXIF, Section
from vqcodec.exact.bitstream.sections import XMP as XMP_SECTION
from vqcodec.image import read_picture

Pixels = npt.NDArray[np.uint8]
VECTORS = Path(__file__).parent.parent / "bitstream" / "vectors"
TIME_NS = 1_000_000_007_000_000_000


@pytest.fixture
def camera(tmp_path: Path, pixels: Pixels) -> Path:
    """A photograph that lies on its side, with a place."""
    path = tmp_path / "camera.jpg"
    path.write_bytes(picture_file("JPEG", pixels, exif(), XMP))
    return path


@pytest.fixture
def logo(tmp_path: Path) -> Path:
    """A picture of 60 x 40 that is transparent outside of a square, and half transparent inside."""
    path = tmp_path / "logo.png"
    alpha = np.pad(np.full((20, 40), 100, np.uint8), 10)
    Image.fromarray(np.dstack([picture(40, 60, seed=4), alpha])).save(path)
    return path


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_transparency_there_and_back(run: Run, logo: Path, tiny_model: Path, suffix: str) -> None:
    assert run("compress", logo, "--model", tiny_model).err == ""
    packed, back = logo.with_suffix(".vqc"), logo.with_name(f"back.{suffix}")
    result = run("decompress", packed, "-o", back, "--model", tiny_model)
    assert (result.code, result.err) == (0, "")
    with Image.open(back) as there, Image.open(logo) as here:
        np.testing.assert_array_equal(np.array(there)[..., 3], np.array(here)[..., 3])


def test_backgrounds(run: Run, logo: Path, tiny_model: Path) -> None:
    packed, back = logo.with_suffix(".vqc"), logo.with_name("back.jpg")
    run("compress", logo, "--model", tiny_model)
    result = run("decompress", packed, "-o", back, "--model", tiny_model)
    assert "note: " in result.err and "because JPEG files hold none; the picture is laid over white" in result.err
    result = run("decompress", "-f", packed, "-o", back, "--background", "blue", "--model", tiny_model)
    assert result.err == ""
    with Image.open(back) as image:
        assert np.abs(np.array(image.getpixel((0, 0))) - [0, 0, 255]).max() < 10
    result = run("compress", "-f", logo, "--background", "#102030", "--model", tiny_model)
    assert "transparency is not kept; the picture is laid over #102030" in result.err
    assert not json.loads(run("info", packed, "--json").out)["alpha"]


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_a_color_that_is_none_is_wrong_usage(run: Run, logo: Path, command: str) -> None:
    result = run(command, logo, "--background", "bleu")
    assert (result.code, result.out) == (2, b"")
    assert "'bleu' is not a color; give a name such as white, or #rrggbb" in result.err
    assert [path.name for path in logo.parent.iterdir()] == ["logo.png"]


@pytest.mark.parametrize("strip", ["none", "gps", "all"])
def test_what_is_stripped(run: Run, camera: Path, tiny_model: Path, strip: str) -> None:
    result = run("compress", camera, "--strip", strip, "--model", tiny_model)
    assert (result.code, result.err) == (0, "")
    said = container.read(camera.with_suffix(".vqc").read_bytes()).ancillary
    if strip == "all":
        assert (said.exif, said.xmp) == (None, None)
        return
    assert said.exif is not None and said.xmp is not None
    assert (said.xmp == XMP_UPRIGHT, said_by(said.exif)[2] != {}) == ((strip == "none"),) * 2
    assert said_by(said.exif)[0][0x0112] == 1


def test_metadata_there_and_back(run: Run, camera: Path, tiny_model: Path) -> None:
    run("compress", camera, "--model", tiny_model)
    back = camera.with_name("back.png")
    assert run("decompress", camera.with_suffix(".vqc"), "-o", back, "--model", tiny_model).err == ""
    here, there = read_picture(camera), read_picture(back)
    assert here.exif is not None and here.xmp is not None
    assert (there.exif, there.xmp, there.pixels.shape) == (here.exif, here.xmp, here.pixels.shape)


def test_info_of_what_is_kept(run: Run, camera: Path, logo: Path, tiny_model: Path) -> None:
    gray = logo.with_name("gray.png")
    Image.fromarray(picture(30, 40, seed=1)[..., 0]).save(gray)
    run("compress", camera, logo, gray, "--model", tiny_model)
    said = {path: run("info", path.with_suffix(".vqc")).out.decode() for path in (camera, logo, gray)}
    sizes = {path: json.loads(run("info", path.with_suffix(".vqc"), "--json").out) for path in said}
    assert f"metadata                 EXIF ({len(exif()):,} bytes), XMP ({len(XMP):,} bytes)\n" in said[camera]
    assert "transparency             none\n" in said[camera] and "(21,210 bytes of RGB)" in said[camera]
    assert "transparency             kept\n" in said[logo] and "(9,600 bytes of RGB and alpha)" in said[logo]
    assert "colors                   gray, sRGB\n" in said[gray] and "(1,200 bytes of gray)" in said[gray]
    assert "metadata                 none\n" in said[gray]
    assert [(facts["alpha"], facts["gray"], facts["xmp_bytes"]) for facts in sizes.values()] == [
        (False, False, len(XMP)),
        (True, False, 0),
        (False, True, 0),
    ]
    for facts in sizes.values():
        assert sum(facts["sections"].values()) == facts["bytes"]
    assert {"alpha"} < sizes[logo]["sections"].keys() and {"EXIF", "XMP"} < sizes[camera]["sections"].keys()


def test_times_are_kept_where_that_is_asked(run: Run, photo: Path, tiny_model: Path) -> None:
    os.utime(photo, ns=(TIME_NS, TIME_NS))
    packed, back = photo.with_suffix(".vqc"), photo.with_name("back.png")
    run("compress", photo, "--model", tiny_model)
    assert packed.stat().st_mtime_ns != TIME_NS
    assert run("compress", "-f", photo, "--preserve", "--model", tiny_model).code == 0
    assert run("decompress", packed, "-o", back, "--preserve", "--model", tiny_model).code == 0
    assert packed.stat().st_mtime_ns == back.stat().st_mtime_ns == photo.stat().st_mtime_ns == TIME_NS


def test_a_stream_has_no_time(run: Run, photo: Path, packed: Path, tiny_model: Path) -> None:
    for arguments in (("compress", photo, "-o", "-"), ("compress", "-"), ("decompress", packed, "-o", "-")):
        result = run(*arguments, "--preserve", "--model", tiny_model, stdin=photo.read_bytes())
        assert (result.code, result.out) == (1, b"")
        assert result.err == "vqc: --preserve needs files, since '-' has no time of change; leave it out\n"
    before = Path("/dev/null").stat().st_mtime_ns
    assert run("decompress", packed, "-o", "/dev/null", "--format", "png", "--preserve", "-f").code == 1
    assert Path("/dev/null").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["alpha", "exif", "xmp"])
def test_a_damaged_section_is_named_and_nothing_is_written(run: Run, tmp_path: Path, name: str) -> None:
    for vector in json.loads((VECTORS / "vectors.json").read_text())["bad"]:
        if vector["fault"] == name:
            path, model = VECTORS / vector["file"], VECTORS / "models" / f"{vector['model']}.safetensors"
            result = run("info", path, "--model", model)
            assert (result.code, result.out, result.err.count("\n")) == (1, b"", 1)
            assert f"the {name if name == 'alpha' else name.upper()} section" in result.err


@pytest.mark.parametrize(("type", "name"), [(ALPHA, "alpha"), (EXIF, "EXIF"), (XMP_SECTION, "XMP")])
def test_a_damaged_section_leaves_no_output(run: Run, packed: Path, tiny_model: Path, type: int, name: str) -> None:
    parsed = container.read(packed.read_bytes())
    packed.write_bytes(container.write_sections(parsed.header, [*parsed.sections, Section(type, b"damaged")]))
    before = sorted(packed.parent.iterdir())
    for command in (("decompress", packed, "-o", packed.with_name("back.png")), ("info", packed)):
        result = run(*command, "--model", tiny_model)
        assert (result.code, result.out, result.err.count("\n")) == (1, b"", 1)
        assert f"photo.vqc: the {name} section" in result.err
    assert sorted(packed.parent.iterdir()) == before


def test_indices_as_arrays_keep_it_too(run: Run, logo: Path, tiny_model: Path) -> None:
    packed, arrays, again = (logo.with_name(name) for name in ("logo.vqc", "logo.npz", "again.vqc"))
    run("compress", logo, "--model", tiny_model)
    assert run("tokens", packed, "-o", arrays, "--model", tiny_model).code == 0
    assert run("tokens", "--back", arrays, "-o", again, "--model", tiny_model).code == 0
    assert again.read_bytes() == packed.read_bytes()
    assert run("tokens", "--back", arrays, "-o", logo.with_name("again.png"), "--model", tiny_model).code == 0
    with Image.open(logo.with_name("again.png")) as image:
        assert image.mode == "RGBA"


def test_the_python_interface_keeps_it_too(camera: Path, logo: Path, tiny_model: Path) -> None:
    image = vqcodec.decompress(vqcodec.compress(logo, model=tiny_model), tiny_model)
    assert image.mode == "RGBA"
    image = vqcodec.decompress(vqcodec.compress(camera, model=tiny_model), tiny_model)
    assert image.info["xmp"] == XMP_UPRIGHT and image.getexif()[0x010F] == "Maker of cameras"
    bare = vqcodec.decompress(vqcodec.compress(camera, model=tiny_model, strip="all"), tiny_model)
    assert bare.info == {}
    with pytest.warns(UserWarning, match="laid over red"):
        flat = vqcodec.decompress(vqcodec.compress(logo, model=tiny_model, background="red"), tiny_model)
    assert flat.mode == "RGB"
    with pytest.raises(SettingsError):
        vqcodec.compress(logo, model=tiny_model, strip="some")


def test_no_extra_is_needed(camera: Path, logo: Path, tiny_model: Path) -> None:
    """In a process of its own, in which nothing that only an extra brings can be imported."""
    script = (
        "import sys\n"
        "for name in ('scipy', 'matplotlib', 'pillow_jxl', 'pillow_heif', 'imageio_ffmpeg'): sys.modules[name] = None\n"
        "from vqcodec.cli import main\n"
        f"main(['compress', {str(camera)!r}, {str(logo)!r}, '--strip', 'gps', '--model', {str(tiny_model)!r}])\n"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0
    assert logo.with_suffix(".vqc").is_file() and camera.with_suffix(".vqc").is_file()
