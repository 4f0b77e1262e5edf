"""One bad name does not end the others, no name reaches the terminal raw, and closed or full streams are a sentence."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny import Run, picture

from vqcodec import files
from vqcodec.errors import InputError, OutputError
from vqcodec.names import printable

ESCAPE = "\x1b[31mred.png"
BYTES = os.fsdecode(b"caf\xe9.png")

posix = pytest.mark.skipif(sys.platform == "win32", reason="names, modes and devices of POSIX")


def vqc(*arguments: object, shell: str = '"$@"', **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, behind redirections of a shell."""
    command = ["sh", "-c", shell, "sh", sys.executable, "-m", "vqcodec", *map(os.fspath, arguments)]  # type: ignore[arg-type]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def save(path: Path) -> Path:
    Image.fromarray(picture(30, 40, seed=1)).save(path)
    return path


@posix
@pytest.mark.parametrize("name", [ESCAPE, BYTES, "two\nlines.png", "\u202egnp.exe.png"])
def test_strange_names_are_done_and_shown_as_escapes(
    run: Run, tmp_path: Path, photo: Path, tiny_model: Path, name: str
) -> None:
    strange = save(tmp_path / name)
    result = run("compress", strange, photo, "--model", tiny_model)
    assert (result.code, len(result.out.splitlines())) == (0, 2)
    assert printable(name) in result.out.decode()
    result = run("compress", strange, "--model", tiny_model)
    assert result.err.startswith("vqc: ")
    assert (len(result.err.splitlines()), "\x1b" in result.err, "\u202e" in result.err) == (1, False, False)


@posix
def test_names_outside_the_terminal_s_encoding(tmp_path: Path, tiny_model: Path) -> None:
    path = save(tmp_path / "Größe.png")
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    result = vqc("compress", path, tmp_path / "Ü.png", "--model", tiny_model, env=environment)
    assert result.returncode == 1
    assert "Gr\\xf6\\xdfe.png -> " in result.stdout
    assert "\\xdc.png does not exist" in result.stderr


@posix
def test_names_that_are_no_text_in_pages(run: Run, tmp_path: Path, tiny_model: Path) -> None:
    path = tmp_path / BYTES
    Image.fromarray(picture(176, 176, seed=1)).save(path)
    page = tmp_path / "page.html"
    result = run("compare", path, "-o", page, "--bpp", 3, "--codec", "jpeg", "--model", tiny_model)
    assert (result.code, "caf\\udce9.png" in page.read_text(encoding="utf-8")) == (0, True)
    assert run("analyze", tiny_model, path, "-o", tmp_path / "analysis").code == 0


def test_names_that_no_file_has(run: Run, photo: Path, tiny_model: Path) -> None:
    result = run("compress", photo.with_name("x" * 300), photo, "--model", tiny_model)
    assert result.code == 1
    assert "File name too long" in result.err
    assert photo.with_suffix(".vqc").is_file()
    result = run("compress", "a\0b", "--model", tiny_model)
    assert (result.code, result.err) == (1, "vqc: a\\x00b is not the name of a file; check the path\n")
    result = run("compress", photo, "-o", photo.with_name("y" * 300), "--model", tiny_model)
    assert (result.code, "cannot be written: File name too long" in result.err) == (1, True)
    for command in ("info", "decompress", "analyze", "eval", "train"):
        assert run(command, "a\0b", "a\0b", "-o" if command != "info" else "--json", "c").code == 1


def test_what_cannot_be_reached_is_an_error_of_one_file(
    run: Run, photo: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, stat_of = photo.with_name("closed.png"), Path.stat

    def refuse(path: Path, **options: Any) -> os.stat_result:
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return stat_of(path, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    result = run("compress", closed, photo, "--model", tiny_model)
    assert result.code == 1
    assert result.err.splitlines()[0] == f"vqc: {closed} cannot be read: Permission denied"
    assert photo.with_suffix(".vqc").is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_full_and_closed_streams(photo: Path, tiny_model: Path) -> None:
    for shell in ('"$@" > /dev/full', '"$@" >&-'):
        result = vqc("compress", photo, "-o", "-", "--model", tiny_model, shell=shell)
        assert (result.returncode, len(result.stderr.splitlines())) == (1, 1), result.stderr
        assert result.stderr.startswith("vqc: ")
    result = vqc("models", shell='"$@" > /dev/full')
    assert (result.returncode, result.stderr) == (1, "vqc: stdout cannot be used: No space left on device\n")
    result = vqc("compress", "-", "-o", photo.with_name("x.vqc"), "--model", tiny_model, shell='"$@" <&-')
    assert (result.returncode, result.stderr) == (1, "vqc: stdin is closed; name a file\n")


@posix
def test_open_files_are_outputs(photo: Path, packed: Path, tiny_model: Path) -> None:
    expected = packed.read_bytes()
    out = photo.with_name("out")
    for device, number in (("/dev/stdout", 1), ("/dev/fd/1", 1), ("/dev/fd/3", 3)):
        shell = f'"$@" {number}> {out}'
        vqc("compress", photo, "-o", device, "--model", tiny_model, shell=shell)
        assert out.read_bytes() == expected


@posix
def test_nothing_planted_is_followed_and_modes_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, victim = tmp_path / "out", tmp_path / "victim"
    victim.write_bytes(b"precious")
    monkeypatch.setattr(files.os, "urandom", lambda _: b"known")
    (tmp_path / f".{b'known'.hex()}.part").symlink_to(victim)
    with pytest.raises(OutputError, match="cannot be written"), files.atomic_write(target) as file:
        file.write(b"new")
    assert victim.read_bytes() == b"precious"
    monkeypatch.undo()
    victim.chmod(0o600)
    with files.atomic_write(victim, force=True) as file:
        file.write(b"new")
    assert stat.S_IMODE(victim.stat().st_mode) == 0o600
    long = tmp_path / ("x" * 255)
    with files.atomic_write(long) as file:
        file.write(b"new")
    assert long.read_bytes() == b"new"


@posix
def test_sigterm_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\nfrom vqcodec.cli import main, console\nfrom vqcodec import files\n"
        "def kill(*_):\n"
        f"    with files.atomic_write({str(tmp_path / 'out')!r}) as file:\n"
        "        file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGTERM)\n"
        "import vqcodec.cli.models\nvqcodec.cli.models._facts = kill\nmain(['models'])\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert result.returncode == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_contradicts_the_output(run: Run, packed: Path, tiny_model: Path) -> None:
    target = packed.with_name("x.jpg")
    result = run("decompress", packed, "--format", "png", "-o", target, "--model", tiny_model)
    assert (result.code, "--format png contradicts" in result.err, target.exists()) == (1, True, False)
    assert run("decompress", packed, "--format", "jpeg", "-o", target, "--model", tiny_model).code == 0


def test_inputs_that_are_no_names() -> None:
    with pytest.raises(InputError, match="is not the name of a file"):
        files.read_file(Path("a\0b"))
