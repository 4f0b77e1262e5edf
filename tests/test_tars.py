"""Archives: hard links are files, what is not wanted is counted and not read, damage is one sentence."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vqcodec import tars
from vqcodec.errors import InputError

NOISE = os.urandom(50_000)


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def archive(format: int = tarfile.GNU_FORMAT) -> bytes:
    """A file, hard links to it and to one of them, a link, a link to nothing, a folder, another file."""
    data = io.BytesIO()
    long = "long/" * 30 + "one.png"
    with tarfile.open(fileobj=data, mode="w", format=format) as made:
        for name, content in ((long, NOISE), ("two.png", b"two")):
            info = entry(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
        made.addfile(entry("again.png", tarfile.LNKTYPE, long))
        made.addfile(entry("once more.png", tarfile.LNKTYPE, "again.png"))
        made.addfile(entry("soft.png", tarfile.SYMTYPE, "two.png"))
        made.addfile(entry("lost.png", tarfile.LNKTYPE, "elsewhere.png"))
        made.addfile(entry("folder.png", tarfile.DIRTYPE))
        info = entry("three.png")
        info.size = 5
        made.addfile(info, io.BytesIO(b"three"))
    return data.getvalue()


def everything(data: bytes, start: int = 0) -> tuple[dict[str, bytes], list[str]]:
    left_out: list[str] = []
    found = tars.contents(io.BytesIO(data), "a.tar", lambda name: name.endswith(".png"), start, left_out.append)
    return dict(found), left_out


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("packed", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_hard_links_are_files_and_other_links_are_left_out(format: int, packed: Callable[[bytes], bytes]) -> None:
    data = packed(archive(format))
    found, left_out = everything(data)
    assert list(found)[1:] == ["two.png", "again.png", "once more.png", "three.png"]
    assert list(found.values()) == [NOISE, b"two", NOISE, NOISE, b"three"]
    assert left_out == ["soft.png", "lost.png"]
    assert list(tars.names(io.BytesIO(data), "a.tar")) == list(found)
    assert list(everything(data, 3)[0].values()) == [NOISE, b"three"]


def test_what_is_not_wanted_is_not_read(tmp_path: Path) -> None:
    path, large = tmp_path / "a.tar", entry("large.raw")
    large.size = 3 << 30
    with path.open("wb") as file:  # no such bytes are on the disk
        file.write(large.tobuf())
        file.seek(large.size, os.SEEK_CUR)
        file.write(archive())
    left_out: list[str] = []
    with path.open("rb") as file:
        found = dict(tars.contents(file, "a.tar", lambda name: name == "two.png", left_out=left_out.append))
    assert found == {"two.png": b"two"} and left_out[0] == "large.raw"
    with path.open("rb") as file, pytest.raises(InputError, match="a.tar:large.raw is larger than 1 GiB"):
        list(tars.contents(file, "a.tar", lambda _: True))


def damaged() -> dict[str, bytes]:
    whole = archive()
    flipped = bytearray(lzma.compress(whole))
    flipped[len(flipped) // 2] ^= 0xFF
    deflated = bytearray(gzip.compress(whole))
    deflated[len(deflated) // 2 : len(deflated) // 2 + 40] = bytes(40)
    said = io.BytesIO()
    with tarfile.open(fileobj=said, mode="w", format=tarfile.PAX_FORMAT, pax_headers={}) as made:
        info = entry("a.png")
        info.pax_headers = {"GNU.sparse.map": "1,x", "GNU.sparse.size": "2"}
        made.addfile(info)
    return {
        "cut gzip": gzip.compress(whole)[:-3000],
        "cut xz": lzma.compress(whole)[:-3000],
        "xz": bytes(flipped),
        "gzip": bytes(deflated),
        "sum": gzip.compress(whole)[:-8] + bytes(8),
        "sparse": said.getvalue(),
        "cut": whole[:30_000],
    }


@pytest.mark.parametrize("name", damaged())
def test_damage_is_one_sentence(name: str) -> None:
    for read in (everything, lambda data: list(tars.names(io.BytesIO(data), "a.tar"))):
        with pytest.raises(InputError, match="^a.tar ends in the middle or is damaged; get a whole copy"):
            read(damaged()[name])


@pytest.mark.parametrize(("data", "said"), [(b"", "is empty"), (b"no archive at all" * 100, "is no .tar")])
def test_what_is_no_archive(data: bytes, said: str) -> None:
    with pytest.raises(InputError) as caught:
        everything(data)
    assert str(caught.value) == f"a.tar {said}; get a whole copy of it, or leave it out"
