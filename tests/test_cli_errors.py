"""Bad input: one sentence on stderr, exit code 1, no output file, and the good ones done all the same."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tiny import Result, Run, picture

from vqcodec import api
from vqcodec.codec import Codec
from vqcodec.exact.bitstream import container
from vqcodec.image import Picture

VECTORS = Path(__file__).parent.parent / "bitstream" / "vectors"


def says(result: Result, *texts: str) -> bool:
    """Whether a run failed with one line on stderr, which holds the texts, and printed nothing else."""
    (line,) = result.err.splitlines()
    assert line.startswith("vqc: ")
    assert [text for text in texts if text not in line] == []
    return (result.code, result.out) == (1, b"")


def files(folder: Path) -> dict[str, bytes]:
    """All files in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def small(tiny_codec: Codec) -> bytes:
    """The .vqc file of a picture of 20 x 20."""
    alpha = np.pad(np.full((10, 10), 255, np.uint8), 5)
    return tiny_codec.compress(
        Picture(picture(20, 20, seed=2), bytes(200), alpha=alpha, exif=b"not EXIF", xmp=b"not XMP"), 30
    )


def png_header(width: int, height: int) -> bytes:
    """A PNG file of these dimensions with next to no data."""
    chunks = b""
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"0")),
    ):
        chunks += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "is not an image that vqc can read; give a PNG"),
        (b"just some text", "is not an image that vqc can read; give a PNG"),
        (png_header(20, 20), "is truncated or damaged"),
        (png_header(10**9, 10**9), "2^27"),
        (png_header(70000, 1), "65535"),
    ],
)
def test_what_cannot_be_compressed(run: Run, tiny_model: Path, tmp_path: Path, data: bytes, text: str) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    assert says(run("compress", path, "--model", tiny_model), "bad.png", text)
    assert says(run("compress", "-", "--model", tiny_model, stdin=data), "stdin", text)
    assert files(tmp_path) == {"bad.png": data}


def test_truncated_photo(run: Run, tiny_model: Path, photo: Path) -> None:
    photo.write_bytes(photo.read_bytes()[:-2000])
    assert says(
        run("compress", photo, "--model", tiny_model), "photo.png is truncated or damaged", "get a complete copy"
    )
    assert list(files(photo.parent)) == ["photo.png"]


@pytest.mark.parametrize("command", ["compress", "decompress", "info"])
def test_missing_file(run: Run, tiny_model: Path, tmp_path: Path, command: str) -> None:
    result = run(command, tmp_path / "missing.xyz", "--model", tiny_model)
    assert says(result, "missing.xyz does not exist; check the path")


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_folders(run: Run, tiny_model: Path, tmp_path: Path, command: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.txt").touch()
    assert says(run(command, folder, "--model", tiny_model), "folder is a folder; use -r")
    assert says(run(command, "-r", folder, "--model", tiny_model), "folder holds no")


def test_train_without_pictures(run: Run, tmp_path: Path) -> None:
    output = tmp_path / "out.safetensors"
    assert says(run("train", tmp_path, "-o", output), "no pictures were found in")
    assert says(run("train", tmp_path / "missing", "-o", output), "missing does not exist")
    assert says(run("train", tmp_path, "-K", 1, "-o", output), "K=1 is outside 2..65536")
    assert files(tmp_path) == {}
    output.touch()
    assert says(run("train", tmp_path, "-o", output), "out.safetensors exists; use -f to overwrite it")


def test_output_exists(run: Run, photo: Path, packed: Path, tiny_model: Path) -> None:
    before = files(photo.parent)
    assert says(run("compress", photo, "--model", tiny_model), "photo.vqc exists; use -f to overwrite it")
    assert says(run("decompress", packed, "--model", tiny_model), "photo.png exists and may be the original")
    assert says(run("compress", "-", "-o", packed, "--model", tiny_model), "photo.vqc exists; use -f")
    assert files(photo.parent) == before


def test_outputs_that_cannot_be(run: Run, photo: Path, packed: Path, tiny_model: Path, tmp_path: Path) -> None:
    before = files(tmp_path)
    assert says(run("compress", photo, "-o", tmp_path / "no" / "x.vqc", "--model", tiny_model), "create it first")
    assert says(run("decompress", packed, "-o", tmp_path / "x.xyz", "--model", tiny_model), "choose one of avif")
    assert says(run("decompress", packed, "--format", "xyz", "--model", tiny_model), "choose one of avif")
    assert says(run("compress", photo, "-", "--model", tiny_model), "'-' stands for one file")
    assert files(tmp_path) == before


def test_two_inputs_with_one_output(run: Run, photo: Path, tiny_model: Path) -> None:
    twin = photo.with_suffix(".bmp")
    with Image.open(photo) as image:
        image.save(twin)
    result = run("compress", "-f", photo, twin, "--model", tiny_model)
    assert result.code == 1
    assert "photo.bmp and " in result.err
    assert "would both become" in result.err


def test_the_good_ones_are_done_and_the_bad_ones_named(run: Run, photo: Path, tiny_model: Path) -> None:
    folder = photo.parent
    (folder / "bad.png").write_bytes(b"not an image")
    inputs = (folder / "missing.png", folder / "bad.png", photo)
    result = run("compress", *inputs, "-o", folder / "out", "--model", tiny_model)
    assert result.code == 1
    assert [path.name for path in (folder / "out").iterdir()] == ["photo.vqc"]
    *errors, summary = result.err.splitlines()
    assert [line.split()[1].rpartition("/")[2] for line in errors] == ["missing.png", "bad.png"]
    assert summary.endswith("; 2 failed")
    packed = folder / "out" / "photo.vqc"
    (folder / "bad.vqc").write_bytes(packed.read_bytes()[:-1])
    result = run("decompress", folder / "bad.vqc", packed, "-o", folder / "back", "--model", tiny_model)
    assert (result.code, len(result.out.splitlines())) == (1, 1)
    assert "bad.vqc: the file's checksum does not match" in result.err
    assert [path.name for path in (folder / "back").iterdir()] == ["photo.png"]


@pytest.mark.parametrize("command", ["decompress", "info"])
def test_every_truncation_and_every_flipped_byte(
    run: Run, small: bytes, tiny_model: Path, tmp_path: Path, command: str
) -> None:
    path = tmp_path / "bad.vqc"
    damaged = [small[:length] for length in range(len(small))]
    damaged += [small[:at] + bytes([small[at] ^ 0x41]) + small[at + 1 :] for at in range(len(small))]
    for data in damaged:
        path.write_bytes(data)
        assert says(run(command, path, "--model", tiny_model), "bad.vqc: ")
    assert list(files(tmp_path)) == ["bad.vqc"]


@pytest.mark.parametrize("command", ["decompress", "info"])
@pytest.mark.parametrize(
    "vector", json.loads((VECTORS / "vectors.json").read_text())["bad"], ids=lambda vector: Path(vector["file"]).stem
)
def test_bad_vectors(run: Run, tiny_model: Path, tmp_path: Path, command: str, vector: dict[str, str]) -> None:
    path = tmp_path / "bad.vqc"
    path.write_bytes((VECTORS / vector["file"]).read_bytes())
    assert says(run(command, path, "--model", tiny_model), "bad.vqc: ")
    assert list(files(tmp_path)) == ["bad.vqc"]


def test_newer_version_and_other_magic(run: Run, small: bytes, tiny_model: Path) -> None:
    newer = small[:8] + b"\x02" + small[9:]
    assert says(run("decompress", "-", "--model", tiny_model, stdin=newer), "version 2", "update vqc")
    assert says(run("decompress", "-", "--model", tiny_model, stdin=b"\x89PNG" + small[4:]), "not a .vqc file")


def test_unknown_fingerprint(run: Run, small: bytes, tiny_model: Path) -> None:
    assert says(run("decompress", "-", stdin=small), "not shipped", "--model")
    parsed = container.read(small)
    other = container.write(replace(parsed.header, fingerprint=b"\xab" * 8), parsed.indices)
    for command in ("decompress", "info"):
        assert says(run(command, "-", "--model", tiny_model, stdin=other), "abababababababab", "--model")


@pytest.mark.parametrize(
    ("field", "value"),
    [("K", 64), ("m", 13), ("d_star", 1), ("beta", 2), ("depth", 1), ("width", 65535), ("height", 2000)],
)
def test_header_that_does_not_fit(run: Run, small: bytes, tiny_model: Path, field: str, value: int) -> None:
    parsed = container.read(small)
    data = container.write(replace(parsed.header, **{field: value}), parsed.indices)  # type: ignore[arg-type]
    for command in (("decompress",), ("info", "--check")):
        assert says(run(*command, "-", "--model", tiny_model, stdin=data), "stdin: ")


def test_models_that_cannot_be_used(run: Run, photo: Path, tmp_path: Path) -> None:
    assert says(run("compress", photo, photo, "--model", "nothing"), "there is no model 'nothing'")
    (tmp_path / "bad.safetensors").write_bytes(b"0123456789abcdef")
    assert says(run("compress", photo, "--model", tmp_path / "bad.safetensors"), "bad.safetensors is not a model file")
    assert list(tmp_path.glob("*.vqc")) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["compress"],
        ["compress", "x.png", "-q", "0"],
        ["compress", "x.png", "-q", "101"],
        ["compress", "x.png", "--bogus"],
        ["bogus"],
        ["train", "x", "--time", "soon"],
        ["train", "x", "--time", "0s"],
        ["train", "x", "--steps", "5", "--time", "1m"],
        ["train", "x", "--quantizer", "bogus"],
    ],
    ids=" ".join,
)
def test_wrong_usage(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (2, b"")
    assert "Usage: vqc" in result.err


def test_interruption_leaves_nothing(run: Run, photo: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> npt.NDArray[np.uint8]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Codec, "compress", interrupt)
    result = run("compress", photo, "--model", tiny_model)
    assert (result.code, result.err.strip()) == (130, "vqc: interrupted")
    assert list(files(photo.parent)) == ["photo.png"]


def test_too_little_memory_is_a_sentence(
    run: Run, photo: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(_: object) -> Codec:
        raise MemoryError

    monkeypatch.setattr(api, "load_coder", exhausted)
    assert says(run("compress", photo, "--model", tiny_model), "not enough memory")
