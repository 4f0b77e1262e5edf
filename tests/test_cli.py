"""The command line: what goes well, in files, folders and pipes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tiny import Run, picture, tiny_settings

from vqcodec.choices import DEFAULT_QUALITY
from vqcodec.cli.compress import command as compress_command
from vqcodec.exact import metadata, model_file
from vqcodec.exact.bitstream import container

Pixels = npt.NDArray[np.uint8]


def psnr_db(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio."""
    return 10 * math.log10(255**2 / np.square(a.astype(float) - b).mean())


def test_there_and_back(run: Run, photo: Path, tiny_model: Path, tmp_path: Path, pixels: Pixels) -> None:
    packed, unpacked = tmp_path / "out.vqc", tmp_path / "out.webp"
    result = run("compress", photo, "-o", packed, "-q", 90, "--model", tiny_model)
    assert (result.code, result.err) == (0, "")
    assert f"{photo} -> {packed}: 101 x 70, " in result.out.decode()
    assert f"{packed.stat().st_size:,} bytes" in result.out.decode()
    result = run("decompress", packed, "-o", unpacked, "--model", tiny_model)
    assert (result.code, result.err) == (0, "")
    with Image.open(unpacked) as image:
        assert image.format == "WEBP"
        assert psnr_db(np.asarray(image.convert("RGB")), pixels) > 15


def test_outputs_lie_beside_inputs(run: Run, packed: Path, tiny_model: Path) -> None:
    assert run("decompress", packed, "--format", "jpg", "--model", tiny_model).code == 0
    assert sorted(path.name for path in packed.parent.iterdir()) == ["photo.jpg", "photo.png", "photo.vqc"]


def test_pipes(run: Run, photo: Path, packed: Path, tiny_model: Path) -> None:
    result = run("compress", "-", "--model", tiny_model, stdin=photo.read_bytes())
    assert (result.code, result.out) == (0, packed.read_bytes())
    assert "stdin -> stdout: 101 x 70" in result.err
    assert run("compress", photo, "-o", "-", "--model", tiny_model).out == packed.read_bytes()
    result = run("decompress", "-", "--model", tiny_model, stdin=packed.read_bytes())
    assert result.out.startswith(b"\x89PNG")
    result = run("decompress", "-", "--format", "bmp", "--model", tiny_model, stdin=packed.read_bytes())
    assert result.out.startswith(b"BM")
    target = photo.with_name("piped.vqc")
    assert run("compress", "-", "-o", target, "--model", tiny_model, stdin=photo.read_bytes()).code == 0
    assert target.read_bytes() == packed.read_bytes()


def test_several_files_and_folders(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    names = ("one.png", "deep/two.jpg", "deep/er/three.bmp")
    for seed, name in enumerate(names):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(20, 30, seed)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").touch()
    small, back = tmp_path / "small", tmp_path / "back"
    result = run("compress", "-r", tmp_path / "in", "-o", small, "--model", tiny_model)
    assert (result.code, len(result.out.splitlines())) == (0, 3)
    made = sorted(path.relative_to(small).as_posix() for path in small.rglob("*.*"))
    assert made == ["deep/er/three.vqc", "deep/two.vqc", "one.vqc"]
    assert run("decompress", "-r", small, "-o", back, "--format", "ppm", "--model", tiny_model).code == 0
    assert sorted(path.name for path in back.rglob("*.ppm")) == ["one.ppm", "three.ppm", "two.ppm"]
    files = [tmp_path / "in" / name for name in names[:2]]
    assert run("compress", *files, "-o", tmp_path / "flat", "--model", tiny_model).code == 0
    assert sorted(path.name for path in (tmp_path / "flat").iterdir()) == ["one.vqc", "two.vqc"]


def test_existing_outputs_are_overwritten_with_force(run: Run, photo: Path, packed: Path, tiny_model: Path) -> None:
    packed.write_bytes(b"old")
    assert run("compress", "-f", photo, "--model", tiny_model).code == 0
    assert run("decompress", "-f", packed, "-o", photo, "--model", tiny_model).code == 0


@pytest.mark.parametrize("force", [(), ("-f",)])
def test_what_may_be_the_original_is_replaced_only_where_it_is_named(
    run: Run, photo: Path, packed: Path, tiny_model: Path, force: tuple[str, ...]
) -> None:
    original, times = photo.read_bytes(), photo.stat().st_mtime_ns
    for arguments in ((packed,), ("-r", packed.parent)):
        result = run("decompress", *force, *arguments, "--model", tiny_model)
        other = photo.with_name("photo.decoded.png")
        assert (result.code, result.out) == (1, b"")
        assert f"{photo} exists and may be the original; choose another name, as with -o {other}" in result.err
    assert (photo.read_bytes(), photo.stat().st_mtime_ns) == (original, times)
    assert sorted(path.name for path in packed.parent.iterdir()) == ["photo.png", "photo.vqc"]
    assert run("decompress", *force, packed, "-o", other, "--model", tiny_model).code == 0


def test_what_is_not_kept_is_said_once(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path in paths:
        Image.new("RGBA", (20, 20), (10, 20, 30, 40)).save(path)
    result = run("compress", *paths, "--background", "white", "--model", tiny_model)
    assert result.code == 0
    assert f"vqc: note: {paths[0]} and 2 more: transparency is not kept; the picture is laid over white" in result.err
    line = json.loads(run("compress", "-f", paths[0], "--background", "white", "--json", "--model", tiny_model).out)
    assert line["notes"][0] == "transparency is not kept; the picture is laid over white"


def test_json_of_compress_and_decompress(run: Run, photo: Path, tiny_model: Path) -> None:
    facts = json.loads(run("compress", photo, "-q", 33.5, "--json", "--model", tiny_model).out)
    packed = photo.with_suffix(".vqc")
    size = packed.stat().st_size
    assert facts | {"seconds": 0} == {
        "input": str(photo),
        "output": str(packed),
        "width": 101,
        "height": 70,
        "model": "tiny",
        "quality": 33.5,
        "effort": 3,
        "lossless": False,
        "overlay": False,
        "halved": False,
        "input_bytes": photo.stat().st_size,
        "bytes": size,
        "bpp": 8 * size / (101 * 70),
        "seconds": 0,
        "notes": [],
    }
    facts = json.loads(
        run("decompress", packed, "-o", photo.with_name("back.png"), "--json", "--model", tiny_model).out
    )
    assert (facts["input_bytes"], facts["width"], facts["height"]) == (size, 101, 70)


def test_info(run: Run, packed: Path, tiny_model: Path) -> None:
    result = run("info", packed, "--model", tiny_model, "--check")
    assert (result.code, result.err) == (0, "")
    for text in (
        "101 x 70",
        "K = 32, m = 12, d* = 2, beta = 1",
        "header",
        "checksum",
        "S_codebook",
        "entropy",
        "K^m = 2^60",
        "multiplications",
    ):
        assert text in result.out.decode()
    facts = json.loads(run("info", packed, "--json", "--model", tiny_model).out)
    expected = {"width": 101, "height": 70, "model": "tiny", "quantizer": "looc", "K": 32, "m": 12, "d_star": 2}
    assert expected.items() <= facts.items()
    assert (facts["beta"], facts["quality"], facts["bytes"]) == (1, 50, packed.stat().st_size)
    assert sum(facts["sections"].values()) == facts["bytes"]
    assert facts["bpp"] == pytest.approx(8 * facts["bytes"] / (101 * 70))


def test_info_decodes_only_to_check(run: Run, packed: Path, tiny_model: Path) -> None:
    parsed = container.read(packed.read_bytes())
    packed.write_bytes(container.write(replace(parsed.header, index_crc=1), parsed.indices))
    result = run("info", packed, "--model", tiny_model)
    assert result.code == 0 and b"entropy" not in result.out and b"S_index" in result.out
    indices = json.loads(run("info", packed, "--json", "--model", tiny_model).out)["indices"]
    assert indices["entropy_bits"] is indices["class_bits"] is None and indices["fixed_bits"] > 0
    result = run("info", packed, "--check", "--model", tiny_model)
    assert result.code == 1 and "checksum" in result.err


def test_info_without_the_model(run: Run, packed: Path) -> None:
    result = run("info", packed)
    assert result.code == 0
    assert "not shipped" in result.out.decode()
    assert json.loads(run("info", packed, "--json").out)["indices"] is None
    assert json.loads(run("info", "-", "--json", stdin=packed.read_bytes()).out)["file"] == "stdin"


def test_models(run: Run, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "shipped", lambda: [tiny_model])
    header, line = run("models").out.decode().splitlines()
    assert header.split()[:4] == ["name", "quantizer", "K", "m"]
    assert line.split()[:6] == ["tiny", "looc", "32", "12", "2", "1"]
    facts: dict[str, Any] = json.loads(run("models", "--json").out)
    assert facts["fingerprint"] == model_file.read_metadata(tiny_model).fingerprint
    assert facts["bytes"] == tiny_model.stat().st_size
    monkeypatch.setattr(metadata, "shipped", list)
    assert b"vqc train" in run("models").out


def test_train(run: Run, tmp_path: Path) -> None:
    folder, output = tmp_path / "photos", tmp_path / "my.safetensors"
    folder.mkdir()
    for seed in range(3):
        Image.fromarray(picture(80, 90, seed)).save(folder / f"{seed}.png")
    settings = tiny_settings(steps=2).as_dict()
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items()))
    result = run("train", folder, "--recipe", recipe, "--steps", 4, "-K", 16, "-o", output)
    assert result.code == 0
    assert str(output) in result.out.decode()
    assert model_file.read_metadata(output).quantizer["K"] == 16
    assert run("compress", folder / "0.png", "--model", output).code == 0


def test_version(run: Run) -> None:
    try:
        expected = version("vqcodec")
    except PackageNotFoundError:
        pytest.skip("vqcodec is not installed")
    assert run("--version").out.decode() == f"vqc {expected}\n"


def test_default_quality_is_the_library_s() -> None:
    default = next(option.default for option in compress_command.params if option.name == "quality")
    assert default == DEFAULT_QUALITY


def test_module_and_a_closed_pipe() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "vqcodec", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait()
