"""vqc verify: what it says of a file and its original, and the exit codes that scripts go by."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from test_cli_errors import says
from tiny import Run, picture

import vqcodec
from vqcodec import scores
from vqcodec.codec import Codec
from vqcodec.evaluation import metrics
from vqcodec.exact.bitstream import container


def test_a_good_file(run: Run, photo: Path, packed: Path, tiny_model: Path, tiny_codec: Codec) -> None:
    with Image.open(photo) as image:
        pixels = np.asarray(image)
    copy = tiny_codec.decompress(packed.read_bytes()).pixels
    result = run("verify", photo, packed, "--json", "--model", tiny_model)
    facts = json.loads(result.out)
    assert (result.code, result.err) == (0, "")
    assert facts["psnr_db"] == pytest.approx(metrics.psnr(pixels, copy))
    assert facts["ssimulacra2"] == metrics.load("ssimulacra2")(pixels, copy)
    said = {"original": str(photo), "file": str(packed), "width": 101, "height": 70, "quality": 50.0, "notes": []}
    assert said.items() <= facts.items() and facts["bytes"] == packed.stat().st_size
    result = run("verify", photo, packed, "--model", tiny_model)
    line = f"101 x 70, decodes, PSNR {facts['psnr_db']:.2f} dB, SSIMULACRA 2 {facts['ssimulacra2']:.2f}\n"
    assert (result.code, result.out.decode()) == (0, f"{packed}: {line}")
    result = run("verify", photo, "-", "--model", tiny_model, stdin=packed.read_bytes())
    assert (result.code, result.out.decode()) == (0, f"stdin: {line}")
    result = run("verify", "-", packed, "--model", tiny_model, stdin=photo.read_bytes())
    assert (result.code, result.out.decode()) == (0, f"{packed}: {line}")


def test_a_least_psnr(run: Run, photo: Path, packed: Path, tiny_model: Path) -> None:
    arguments = ("verify", photo, packed, "--model", tiny_model)
    reached_db = json.loads(run(*arguments, "--json").out)["psnr_db"]
    assert run(*arguments, "--min-psnr", reached_db).code == 0
    for options in ((), ("--json",)):
        result = run(*arguments, "--min-psnr", reached_db + 0.01, *options)
        assert result.code == 1 and len(result.out.splitlines()) == 1, "the figures are said all the same"
        (line,) = result.err.splitlines()
        assert line.startswith(f"vqc: {packed}: the PSNR of {reached_db:.2f} dB is below ") and "higher quality" in line


def test_what_does_not_belong_together(run: Run, photo: Path, packed: Path, tiny_model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    Image.fromarray(picture(70, 100, 3)).save(other)
    result = run("verify", other, packed, "--model", tiny_model)
    assert says(result, f"{packed} is 101 x 70 and {other} is 100 x 70; name the picture that it was made from")
    assert says(run("verify", packed, photo, "--model", tiny_model), f"{photo}: this is not a .vqc file")
    assert says(run("verify", packed, packed, "--model", tiny_model), f"{packed} is .vqc, which is not an image")
    assert says(run("verify", photo, packed), "photo.vqc: the file was made by the model ", "--model")
    assert says(run("verify", "-", "-"), "'-' stands for one file")
    assert says(run("verify", photo, "missing.vqc"), "missing.vqc does not exist")
    assert says(run("verify", "missing.png", packed, "--model", tiny_model), "missing.png does not exist")


def test_damage_is_found(run: Run, photo: Path, packed: Path, tiny_model: Path) -> None:
    whole = packed.read_bytes()
    packed.write_bytes(whole[:-1])
    assert says(run("verify", photo, packed, "--model", tiny_model), "photo.vqc: the file's checksum does not match")
    parsed = container.read(whole)
    header = replace(parsed.header, index_crc=parsed.header.index_crc ^ 1)
    packed.write_bytes(container.write_sections(header, parsed.sections))
    assert says(run("verify", photo, packed, "--model", tiny_model), "photo.vqc: ", "indices")


def test_without_a_second_score(
    run: Run, photo: Path, packed: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "_is_installed", lambda name: name != "ssimulacra2")
    facts = json.loads(run("verify", photo, packed, "--json", "--model", tiny_model).out)
    assert facts["ssimulacra2"] is None and "pip install 'vqcodec[eval]'" in facts["notes"][0]
    result = run("verify", photo, packed, "--model", tiny_model)
    assert result.code == 0 and result.out.endswith(b" dB\n") and "ssimulacra2 needs ssimulacra2, which" in result.err


def test_a_picture_too_small_for_it(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    tiny: npt.NDArray[np.uint8] = picture(5, 9, 1)
    Image.fromarray(tiny).save(tmp_path / "a.png")
    assert run("compress", tmp_path / "a.png", "--model", tiny_model).code == 0
    result = run("verify", tmp_path / "a.png", tmp_path / "a.vqc", "--model", tiny_model)
    assert result.code == 0 and "a side below 8 pixels has no SSIMULACRA 2" in result.err


@pytest.mark.parametrize(
    "arguments", ["", "a.png", "a.png b.vqc c.vqc", "a.png b.vqc --min-psnr -1", "a b --min-psnr x"]
)
def test_wrong_usage(run: Run, arguments: str) -> None:
    result = run("verify", *arguments.split())
    assert (result.code, result.out) == (2, b"") and "Usage: vqc verify" in result.err


def half_seen(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    """A picture whose right half is transparent, over colors that have nothing to do with its left half."""
    image = Image.fromarray(pixels)
    alpha = np.full(pixels.shape[:2], 255, np.uint8)
    alpha[:, pixels.shape[1] // 2 :] = 0
    image.putalpha(Image.fromarray(alpha))
    return image


def test_what_nobody_sees_does_not_count(
    run: Run, pixels: npt.NDArray[np.uint8], tiny_model: Path, tmp_path: Path
) -> None:
    half_seen(pixels).save(tmp_path / "a.png")
    arguments = ("--model", tiny_model, "--json")
    assert run("compress", tmp_path / "a.png", *arguments).code == 0
    copy = np.asarray(vqcodec.decompress((tmp_path / "a.vqc").read_bytes(), tiny_model))
    seen = copy[..., 3:] > 0
    over = {color: [np.where(seen, image, np.uint8(value)) for image in (pixels, copy[..., :3])]
            for color, value in (("white", 255), ("black", 0))}  # fmt: skip
    for options, color in (((), "white"), (("--background", "black"), "black")):
        facts = json.loads(run("verify", tmp_path / "a.png", tmp_path / "a.vqc", *arguments, *options).out)
        assert facts["psnr_db"] == pytest.approx(metrics.psnr(*over[color]))
        assert facts["ssimulacra2"] == metrics.load("ssimulacra2")(*over[color])


def test_a_file_made_with_a_background(
    run: Run, pixels: npt.NDArray[np.uint8], tiny_model: Path, tmp_path: Path
) -> None:
    half_seen(pixels).save(tmp_path / "a.png")
    arguments = ("--model", tiny_model, "--json")
    assert run("compress", tmp_path / "a.png", "--background", "#a02020", *arguments).code == 0
    verify = ("verify", tmp_path / "a.png", tmp_path / "a.vqc", *arguments)
    named, unnamed = (json.loads(run(*verify, *more).out)["psnr_db"] for more in (("--background", "#a02020"), ()))
    assert named > unnamed + 5
    assert "is not a color" in run(*verify, "--background", "colorless").err
