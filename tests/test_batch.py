"""The flags of batches, in one process: what is skipped, kept in names, only said, or not said at all."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from PIL import Image
from tiny import Run, picture

from vqcodec.cli.console import no_bars
from vqcodec.codec import Codec


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three pictures, two of which differ in their suffix alone."""
    folder = tmp_path / "in"
    folder.mkdir()
    for seed, name in enumerate(("a.png", "a.jpg", "b.gif")):
        Image.fromarray(picture(20, 30, seed)).save(folder / name)
    return folder


def made(folder: Path) -> list[str]:
    """The names of what lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_outputs_that_exist_are_skipped(run: Run, photo: Path, packed: Path, tiny_model: Path, tmp_path: Path) -> None:
    packed.write_bytes(b"made before")
    Image.fromarray(picture(20, 30, 1)).save(tmp_path / "new.png")
    arguments = ("compress", photo, tmp_path / "new.png", "--skip-existing", "--model", tiny_model)
    result = run(*arguments)
    assert (result.code, len(result.out.splitlines())) == (0, 1)
    assert packed.read_bytes() == b"made before" and (tmp_path / "new.vqc").is_file()
    assert result.err.startswith("vqc: 1 file, ") and "; 1 skipped, since their outputs exist\n" in result.err
    result = run(*arguments)
    assert (result.code, result.out) == (0, b"") and "vqc: 0 files, 0 bytes; 2 skipped" in result.err
    result = run("decompress", tmp_path / "new.vqc", "--skip-existing", "--model", tiny_model)
    assert (result.code, result.out, result.err) == (0, b"", "")
    result = run("compress", "-", "-o", packed, "--skip-existing", "--model", tiny_model)
    assert (result.code, result.out, result.err) == (0, b"", "")


def test_skipping_hides_no_error(run: Run, photo: Path, packed: Path, tiny_model: Path) -> None:
    result = run("compress", photo, "missing.png", "--skip-existing", "--model", tiny_model)
    assert result.code == 1 and "missing.png does not exist" in result.err and "1 skipped" in result.err
    result = run("compress", photo, "-o", photo, "--skip-existing", "--model", tiny_model)
    assert result.code == 1 and "has the suffix of a picture" in result.err
    result = run("compress", photo, "-f", "--skip-existing", "--model", tiny_model)
    assert result.code == 2 and "--force and --skip-existing exclude one another" in result.err


def test_suffixes_are_kept_there_and_back(run: Run, folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    result = run("compress", "-r", folder, "-o", tmp_path / "out", "--model", tiny_model)
    assert result.code == 1 and "would both become" in result.err and "use --keep-suffix" in result.err
    small, back = tmp_path / "small", tmp_path / "back"
    assert run("compress", "-r", folder, "-o", small, "--keep-suffix", "--model", tiny_model).code == 0
    assert made(small) == ["a.jpg.vqc", "a.png.vqc", "b.gif.vqc"]
    assert run("decompress", "-r", small, "-o", back, "--keep-suffix", "--model", tiny_model).code == 0
    assert made(back) == ["a.jpg", "a.png", "b.gif.png"], "GIF is not written"
    with Image.open(back / "a.jpg") as image:
        assert image.format == "JPEG"
    options = ("--keep-suffix", "--format", "jpeg", "--model", tiny_model)
    assert run("decompress", "-r", small, "-o", tmp_path / "jpeg", *options).code == 0
    assert made(tmp_path / "jpeg") == ["a.jpg", "a.png.jpeg", "b.gif.jpeg"]


def test_a_kept_suffix_beside_the_input(run: Run, photo: Path, tiny_model: Path) -> None:
    assert run("compress", photo, "--keep-suffix", "--model", tiny_model).code == 0
    assert made(photo.parent) == ["photo.png", "photo.png.vqc"]
    result = run("decompress", photo.with_name("photo.png.vqc"), "--keep-suffix", "--model", tiny_model)
    assert result.code == 1 and "photo.png exists and may be the original" in result.err


def test_a_dry_run_writes_nothing(run: Run, folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    options = ("-o", tmp_path / "out", "--dry-run", "--keep-suffix", "--model", tiny_model)
    result = run("compress", "-r", folder, *options)
    size = (folder / "a.png").stat().st_size
    assert result.code == 0 and made(tmp_path) == ["in"]
    assert f"{folder / 'a.png'} -> {tmp_path / 'out' / 'a.png.vqc'}: {size:,} bytes to do\n" in result.out.decode()
    assert result.err.startswith("vqc: 3 files, ") and result.err.endswith(" bytes to do\n")
    facts = [json.loads(line) for line in run("compress", "-r", folder, *options, "--json").out.splitlines()]
    assert facts[1] == {
        "input": str(folder / "a.png"),
        "output": str(tmp_path / "out" / "a.png.vqc"),
        "input_bytes": size,
    }
    result = run("compress", folder / "a.png", "missing.png", *options)
    assert result.code == 1 and "missing.png does not exist" in result.err and "1 failed" in result.err
    result = run("compress", folder / "a.png", "--dry-run", "--model", "nothing")
    assert result.code == 1 and "there is no model 'nothing'" in result.err
    result = run("decompress", "-", "--dry-run")
    assert (result.code, result.err) == (0, "stdin -> stdout: 0 bytes to do\n")


def test_a_dry_run_finds_what_exists(run: Run, photo: Path, packed: Path, tiny_model: Path, tmp_path: Path) -> None:
    assert run("compress", photo, "--dry-run", "--model", tiny_model).code == 1
    for path in (photo, packed):
        path.with_stem("other").write_bytes(path.read_bytes())
    result = run("compress", photo, tmp_path / "other.png", "--dry-run", "--skip-existing", "--model", tiny_model)
    assert result.code == 0 and "2 skipped" in result.err


def test_quiet_says_errors_alone(run: Run, folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    (folder / "notes.txt").touch()
    Image.new("RGBA", (20, 20), (10, 20, 30, 40)).save(folder / "clear.png")
    options = ("--keep-suffix", "--quiet", "--model", tiny_model)
    result = run("compress", "-r", folder, "-o", tmp_path / "out", *options)
    assert (result.code, result.out, result.err) == (0, b"", "")
    (folder / "bad.png").write_bytes(b"no picture")
    result = run("compress", "-r", folder, "-o", tmp_path / "again", *options, "--json")
    assert result.code == 1 and len(result.out.splitlines()) == 4
    (line,) = result.err.splitlines()
    assert line.startswith("vqc: ") and "bad.png" in line


def test_a_batch_ends_with_its_bytes(run: Run, folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    (folder / "bad.png").write_bytes(b"no picture")
    options = ("--keep-suffix", "-q", 10, "--json", "--model", tiny_model)
    result = run("compress", "-r", folder, "-o", tmp_path / "out", *options)
    facts = [json.loads(line) for line in result.out.splitlines()]
    read, written = (sum(fact[key] for fact in facts) for key in ("input_bytes", "bytes"))
    said = f"vqc: 3 files, {read:,} bytes became {written:,}, {1 - written / read:.1%} saved; 1 failed"
    assert (result.code, result.err.splitlines()[-1]) == (1, said)
    result = run("decompress", "-r", tmp_path / "out", "-o", tmp_path / "back", "--model", tiny_model)
    assert f"vqc: 3 files, {written:,} bytes became " in result.err and "saved" not in result.err


def test_one_picture_too_many_for_the_memory_does_not_end_the_batch(
    run: Run, folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compress, calls = Codec.compress, list[int]()

    def once(self: Codec, *arguments: object) -> bytes:
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError
        return compress(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Codec, "compress", once)
    result = run("compress", "-r", folder, "-o", tmp_path / "out", "--keep-suffix", "--model", tiny_model)
    assert result.code == 1 and made(tmp_path / "out") == ["a.png.vqc", "b.gif.vqc"]
    assert "a.jpg: not enough memory for this picture; make it smaller first" in result.err


@pytest.mark.parametrize("arguments", ["-j 0", "-j -1", "-j 1.5", "-j many", "--jobs"])
@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_wrong_numbers_of_jobs(run: Run, photo: Path, command: str, arguments: str) -> None:
    result = run(command, photo, *arguments.split())
    assert (result.code, result.out) == (2, b"") and "--jobs" in result.err


@pytest.mark.slow
def test_a_bar_is_drawn_on_a_terminal_and_none_with_quiet(folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    for quiet in ((), ("--quiet",)):
        parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        arguments = ("compress", "-r", folder, "-o", tmp_path / f"out{len(quiet)}", "--keep-suffix", *quiet)
        command = [sys.executable, "-m", "vqcodec", *map(str, (*arguments, "--model", tiny_model))]
        assert subprocess.run(command, stderr=child, stdout=subprocess.DEVNULL, check=False).returncode == 0
        os.write(child, b"end")
        said = ""
        while not said.endswith("end"):
            said += os.read(parent, 100_000).decode()
        assert ("3 of 3 files: 100%" in said, said == "end") == (not quiet, bool(quiet))
        os.close(parent)
        os.close(child)


def test_a_stream_without_bars_is_the_stream(capsys: pytest.CaptureFixture[str]) -> None:
    with no_bars():
        assert not sys.stderr.isatty()
        print("said", file=sys.stderr)
    assert capsys.readouterr().err == "said\n"
