"""The command line of rate control: what is found is reported, what cannot be is one sentence and no file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tiny import Run, picture

from vqcodec.api import compress
from vqcodec.choices import DEFAULT_EFFORT
from vqcodec.cli.compress import command
from vqcodec.codec import Codec
from vqcodec.evaluation.metrics import psnr
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.image import Picture

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture(scope="module")
def size_bytes(tiny_codec: Codec, pixels: npt.NDArray[np.uint8]) -> int:
    """The size of the photo's largest file of quality 20 and a little less: sizes are nearly monotonic."""
    return max(len(tiny_codec.compress(Picture(pixels), quality)) for quality in np.arange(16, 20.5, 0.5))


def test_a_limit_in_bytes(run: Run, photo: Path, tiny_model: Path, size_bytes: int) -> None:
    result = run("compress", photo, "--max-bytes", size_bytes, "--json", "--model", tiny_model)
    facts, packed = json.loads(result.out), photo.with_suffix(".vqc")
    assert (result.code, result.err) == (0, "")
    assert packed.stat().st_size == facts["bytes"] <= size_bytes
    assert container.read(packed.read_bytes()).header.quality == facts["quality"] >= 18  # sizes are nearly monotonic
    assert facts["effort"] == 3 and "psnr_db" not in facts
    result = run("compress", photo, "-f", "--max-bytes", size_bytes, "--model", tiny_model)
    assert f"bpp, quality {facts['quality']:g}\n" in result.out.decode()


def test_a_target_in_bpp(run: Run, photo: Path, tiny_model: Path, size_bytes: int) -> None:
    target_bpp = 8 * size_bytes / (101 * 70)
    result = run("compress", photo, "--target-bpp", target_bpp, "-e", 3, "--json", "--model", tiny_model)
    facts = json.loads(result.out)
    assert 0.97 * target_bpp < facts["bpp"] <= 1.005 * target_bpp and facts["effort"] == 3


def test_a_target_psnr(
    run: Run, photo: Path, tiny_model: Path, tiny_codec: Codec, pixels: npt.NDArray[np.uint8]
) -> None:
    target_db = psnr(pixels, tiny_codec.decompress(tiny_codec.compress(Picture(pixels), 15)).pixels)
    arguments = ("compress", photo, "-f", "--model", tiny_model, "--target-psnr", target_db)
    facts = json.loads(run(*arguments, "--json").out)
    copy = tiny_codec.decompress(photo.with_suffix(".vqc").read_bytes()).pixels
    assert facts["psnr_db"] == pytest.approx(psnr(pixels, copy)) and facts["psnr_db"] >= target_db
    assert f"quality {facts['quality']:g}, {facts['psnr_db']:.2f} dB" in run(*arguments).out.decode()
    result = run(*arguments, "--max-bytes", facts["bytes"] - 30)
    assert result.code == 0 and "note: " in result.err and "lower than asked for, to keep within" in result.err


def test_a_target_in_ssimulacra2(run: Run, photo: Path, tiny_model: Path) -> None:
    gradient = np.linspace(60, 140, 101).astype(np.uint8)  # which the tiny model can come near to
    Image.fromarray(np.tile(gradient[None, :, None], (70, 1, 3))).save(photo)
    arguments = ("compress", photo, "-f", "--model", tiny_model, "--target-ssimulacra2", 70)
    facts = json.loads(run(*arguments, "--json").out)
    assert facts["ssimulacra2"] >= 70 and "psnr_db" not in facts
    result = run(*arguments)
    assert result.out.decode().endswith(f", quality {facts['quality']:g}, SSIMULACRA 2 {facts['ssimulacra2']:.2f}\n")


def test_a_quality_with_a_limit(run: Run, photo: Path, tiny_model: Path, size_bytes: int) -> None:
    arguments = ("compress", photo, "-f", "--json", "--model", tiny_model, "--max-bytes", size_bytes)
    assert json.loads(run(*arguments, "-q", 20).out)["quality"] == 20
    facts = json.loads(run(*arguments, "-q", 30).out)
    assert 20 <= facts["quality"] < 30
    assert facts["notes"] == [f"the quality is lower than asked for, to keep within {size_bytes:,} bytes"]


def test_several_pictures_each_get_their_quality(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    for seed, (height, width) in enumerate([(40, 60), (90, 120)]):
        Image.fromarray(picture(height, width, seed)).save(tmp_path / f"{seed}.png")
    result = run("compress", "-r", tmp_path, "-o", tmp_path / "out", "--max-bytes", 400, "--model", tiny_model)
    assert result.code == 0
    qualities = re.findall(r"quality ([\d.]+)$", result.out.decode(), re.MULTILINE)
    assert float(qualities[0]) > float(qualities[1])
    assert all(path.stat().st_size <= 400 for path in (tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("--max-bytes", "50", r"no quality keeps within 50 bytes; the smallest file has \d+ bytes"),
        ("--target-bpp", "0.01", r"no quality keeps within 0.01 bits per pixel; the smallest file has \S+ \(\d+ b.*\)"),
        (
            "--target-ssimulacra2",
            "99.9",
            r"no quality reaches a SSIMULACRA 2 of 99.9; the highest is SSIMULACRA 2 -?\d+.*",
        ),
        ("--target-psnr", "90", r"no quality reaches a PSNR of 90 dB; the highest is \d+\.\d\d dB"),
    ],
)
def test_what_cannot_be_reached(run: Run, photo: Path, tiny_model: Path, option: str, value: str, text: str) -> None:
    result = run("compress", photo, option, value, "--model", tiny_model)
    assert (result.code, result.out) == (1, b"")
    assert re.fullmatch(f"vqc: {photo}: {text}\n", result.err)
    assert [path.name for path in photo.parent.iterdir()] == ["photo.png"]


@pytest.mark.parametrize(
    "arguments",
    [
        "-q 30 --target-bpp 1",
        "-q 50 --target-psnr 30",
        "--target-bpp 1 --target-psnr 30",
        "--target-bpp 1 --target-psnr 30 --max-bytes 1000",
        "--target-bpp 0",
        "--target-bpp nan",
        "--target-psnr inf",
        "--target-ssimulacra2 0",
        "--target-ssimulacra2 100.5",
        "--target-ssimulacra2 60 --target-psnr 30",
        "--max-bytes 0",
        "--max-bytes 1.5",
        "-e 10",
        "-e -1",
        "-e 2.5",
        "-q nan",
    ],
)
def test_wrong_usage(run: Run, photo: Path, tiny_model: Path, arguments: str) -> None:
    result = run("compress", photo, "--model", tiny_model, *arguments.split())
    assert (result.code, result.out) == (2, b"")
    assert "Usage: vqc compress" in result.err and result.err.count("Error: ") == 1
    assert ("exclude one another" in result.err) == (("-q" in arguments) + arguments.count("--target") > 1)
    assert [path.name for path in photo.parent.iterdir()] == ["photo.png"]


def test_default_effort_is_the_library_s() -> None:
    assert next(option.default for option in command.params if option.name == "effort") == DEFAULT_EFFORT


def test_every_option_stands_in_the_readme() -> None:
    readme = README.read_text(encoding="utf-8")
    names = [name for option in command.params for name in option.opts if name.startswith("-")]
    assert len(names) > 10 and [name for name in names if f"{name} " not in readme and f"{name}`" not in readme] == []


def test_a_psnr_is_asked_of_the_model_for_less_error_and_all_else_of_the_one_for_looks(run: Run, photo: Path) -> None:
    named = {}
    for asked in ((), ("-q", 20), ("--max-bytes", 3000), ("--target-psnr", 25)):
        facts = json.loads(run("compress", photo, "-f", "--json", "-e", 1, *asked).out)
        shipped = model_file.needed(container.read(photo.with_suffix(".vqc").read_bytes()).header.fingerprint)
        assert facts["model"] == shipped.stem
        named[asked[0] if asked else ""] = facts["model"]
    assert named == {"": "perceptual", "-q": "perceptual", "--max-bytes": "perceptual", "--target-psnr": "photo"}
    asked_model = run("compress", photo, "-f", "--json", "-e", 1, "--target-psnr", 25, "--model", "perceptual")
    assert json.loads(asked_model.out)["model"] == "perceptual"
    for target, name in ((None, "perceptual"), (25.0, "photo")):
        data = compress(photo, effort=1, target_psnr=target)
        assert model_file.needed(container.read(data).header.fingerprint).stem == name
