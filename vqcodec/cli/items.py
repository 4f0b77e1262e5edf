"""The items of a collection, files and .tar shards of a folder or store, and how each of them is done."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from vqcodec import stores, tars
from vqcodec.errors import InputError, OutputError, VqcError
from vqcodec.files import atomic_write, check_not_input, identities, read_file, readable
from vqcodec.folders import is_hidden, walked
from vqcodec.names import printable
from vqcodec.tars import is_tar_name

Convert = Callable[[str, bytes], tuple[bytes, dict[str, Any]]]
"""A file's name and bytes -> the bytes of what it becomes, and facts for the manifest."""
_SPOOLED_BYTES = 1 << 26


class Item(NamedTuple):
    """A file or shard to do: its name in the collection, where it is, and where what it becomes goes."""

    name: str
    source: str
    target: str


@dataclass(frozen=True)
class Kind:
    """What files of a collection are converted: those with a name that is `wanted`, into files of names `renamed`.

    Names that differ must be renamed to names that differ.
    """

    wanted: Callable[[str], bool]
    renamed: Callable[[str], str]


@dataclass(frozen=True)
class Aside:
    """Who is told of files that are not wanted, by where they are, and of folders and names that cannot be taken."""

    left_out: Callable[[str], None]
    failed: Callable[[str, VqcError], None]


def items_of(source: str, output: str, kind: Kind, aside: Aside) -> Iterator[Item]:
    """Yield the wanted files and the shards of a folder or store, or the shards that an address with braces names."""
    for name, place in _found(source, aside):
        if is_hidden(name) or not (is_tar_name(name) or kind.wanted(name)):
            aside.left_out(place)
        elif _leads_out(name):
            aside.failed(name, InputError(f"{place} would be written outside of {output}; rename it"))
        else:
            yield Item(name, place, f"{output.rstrip('/')}/{name if is_tar_name(name) else kind.renamed(name)}")


def _found(source: str, aside: Aside) -> Iterator[tuple[str, str]]:
    if is_tar_name(source):
        return shards_of(source)
    if stores.is_address(source):
        return stores.listed(source)
    paths = walked(Path(source), lambda error: aside.failed(source, error))
    return ((path.relative_to(source).as_posix(), str(path)) for path in paths)


def shards_of(source: str) -> Iterator[tuple[str, str]]:
    """Yield the names and places of the shards that a place with braces stands for.

    Names are what differs in them, and the folders above as far as these differ.
    """
    places = stores.expanded(source)
    # Either takes one of the slashes of an address.
    folder = os.path.commonpath([place.rpartition("/")[0] for place in places])
    yield from ((PurePosixPath(place).relative_to(folder).as_posix(), place) for place in places)


def _leads_out(name: str) -> bool:
    """Return whether a name, which may be anything in a store or an archive, leads out of the folder it is in."""
    return ".." in PurePosixPath(name).parts or name.startswith("/")


def done(item: Item, kind: Kind, convert: Convert) -> list[dict[str, Any]]:
    """Do an item, and return the lines of the manifest, of which a shard's is the last."""
    if not stores.is_address(item.target) and not stores.is_address(item.source):
        check_not_input(Path(item.target), identities([Path(item.source)]))
    if is_tar_name(item.name):
        return _done_shard(item, kind, convert)
    data = stores.read(item.source) if stores.is_address(item.source) else read_file(Path(item.source))
    made, facts = convert(item.name, data)
    _write(item.target, BytesIO(made))
    return [{"name": item.name, "input_bytes": len(data), "bytes": len(made), **facts}]


def _done_shard(item: Item, kind: Kind, convert: Convert) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    left_out: list[str] = []
    with tempfile.SpooledTemporaryFile(_SPOOLED_BYTES) as spooled:
        with tarfile.open(fileobj=spooled, mode="w") as made:
            for name, data in _members(item.source, kind, left_out.append):
                lines.append(_done_member(item.name, name, data, kind, convert, made))
                made.members = []  # type: ignore[attr-defined]
        _write(item.target, spooled)
    failed = sum("error" in line for line in lines)
    own = {"name": item.name, "files": len(lines) - failed, "failed": failed, "left_out": len(left_out)}
    return [*lines, own]


def _done_member(
    shard: str, name: str, data: bytes, kind: Kind, convert: Convert, made: tarfile.TarFile
) -> dict[str, Any]:
    line: dict[str, Any] = {"name": f"{shard}/{name}", "shard": shard}
    if _leads_out(name):
        return line | {"error": f"{printable(name)} would be unpacked outside of its folder; rename it"}
    try:
        content, facts = convert(name, data)
    except VqcError as error:
        return line | {"error": str(error)}
    info = tarfile.TarInfo(kind.renamed(name))
    info.size = len(content)
    made.addfile(info, BytesIO(content))
    return line | {"input_bytes": len(data), "bytes": len(content), **facts}


def _members(source: str, kind: Kind, left_out: Callable[[str], None]) -> Iterator[tuple[str, bytes]]:
    """Yield names and bytes of the files of a shard that are to be done."""
    with _opened(source) as file:
        yield from tars.contents(
            file, source, lambda name: kind.wanted(name) and not is_hidden(name), left_out=left_out
        )


@contextmanager
def _opened(source: str) -> Iterator[IO[bytes]]:
    """Open a file to be read; of one in a store a copy, which is there to the end."""
    if not stores.is_address(source):
        with readable(Path(source)), Path(source).open("rb") as file:
            yield file
        return
    with tempfile.TemporaryFile() as copied:
        stores.copy(source, copied)
        copied.seek(0)
        yield copied


def _write(target: str, file: Any) -> None:
    """Write what an open file holds, whole or not at all; what an ended run left there is replaced."""
    if stores.is_address(target):
        stores.write(target, file)
        return
    file.seek(0)
    path = Path(target)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{printable(path.parent)} cannot be made a folder: {error.strerror}") from error
    with atomic_write(path, force=True) as made:
        shutil.copyfileobj(file, made)
