"""Outputs are whole or not there."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from vqcodec import files
from vqcodec.errors import InputError, OutputError


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with files.atomic_write(path) as file:
        file.write(b"abc")
        assert not path.exists()
    assert path.read_bytes() == b"abc"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_after_a_fault(tmp_path: Path, fault: type[BaseException]) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(fault), files.atomic_write(path, force=True) as file:
        file.write(b"new")
        raise fault
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_existing_files_need_force(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.touch()
    with pytest.raises(OutputError, match="out exists; use -f to overwrite it"), files.atomic_write(path):
        pass
    with files.atomic_write(path, force=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with pytest.raises(OutputError, match="exists"), files.atomic_write(path) as file:
        file.write(b"new")
        path.write_bytes(b"other")
    assert path.read_bytes() == b"other"
    assert list(tmp_path.iterdir()) == [path]


def test_places_that_are_no_place_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"), files.atomic_write(tmp_path):
        pass
    with pytest.raises(OutputError, match="does not exist; create it first"), files.atomic_write(tmp_path / "a" / "b"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and links of POSIX")
def test_a_pipe_is_written_and_a_link_is_followed(tmp_path: Path) -> None:
    pipe, link, target = tmp_path / "pipe", tmp_path / "link", tmp_path / "target"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    with files.atomic_write(pipe) as file:
        file.write(b"through")
    reader.join()
    assert received == [b"through"]
    reading, writing = os.pipe()
    with pytest.raises(ValueError, match="half"), files.atomic_write(f"/dev/fd/{writing}") as file:
        file.write(b"half")
        raise ValueError("half of it")
    os.close(writing)
    with os.fdopen(reading, "rb") as rest:
        assert rest.read() == b""
    link.symlink_to(target)
    with files.atomic_write(link) as file:
        file.write(b"linked")
    assert link.is_symlink()
    assert target.read_bytes() == b"linked"


def test_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"abc")
    assert files.read_file(path) == b"abc"
    monkeypatch.setattr(files, "MAX_INPUT_BYTES", 2)
    with pytest.raises(InputError, match="larger than"):
        files.read_file(path)
    with pytest.raises(InputError, match="missing does not exist"):
        files.read_file(tmp_path / "missing")
    with pytest.raises(InputError, match="is a folder"):
        files.read_file(tmp_path)
