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
from vqcodec.files import atomic_write, check_input, check_not_input, identities, read_file
from vqcodec.folders import walked
from vqcodec.names import printable
from vqcodec.tars import TAR

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
        if not (name.endswith(TAR) or kind.wanted(name)):
            aside.left_out(place)
        elif ".." in PurePosixPath(name).parts or name.startswith("/"):  # a key of a store may be anything
            aside.failed(name, InputError(f"{place} would be written outside of {output}; rename it"))
        else:
            yield Item(name, place, f"{output.rstrip('/')}/{name if name.endswith(TAR) else kind.renamed(name)}")


def _found(source: str, aside: Aside) -> Iterator[tuple[str, str]]:
    if source.endswith(TAR):
        return _with_names(stores.expanded(source))
    if stores.is_address(source):
        return stores.listed(source)
    if not os.path.isdir(source):
        raise InputError(f"{printable(source)} is no folder, shard or address in a store, of which a manifest can be")
    paths = walked(Path(source), lambda error: aside.failed(source, error))
    return ((path.relative_to(source).as_posix(), str(path)) for path in paths)


def _with_names(addresses: list[str]) -> Iterator[tuple[str, str]]:
    """Yield addresses with what differs in them: their names, and the folders above as far as these differ."""
    # Either takes one of the slashes of an address.
    folder = os.path.commonpath([address.rpartition("/")[0] for address in addresses])
    yield from ((PurePosixPath(address).relative_to(folder).as_posix(), address) for address in addresses)


def has_files(output: str) -> bool:
    """Return whether there is a file in a folder or store."""
    if not stores.is_address(output):
        return next(walked(Path(output)), None) is not None if os.path.isdir(output) else os.path.exists(output)
    return stores.exists(output) and next(stores.listed(output), None) is not None


def done(item: Item, kind: Kind, convert: Convert) -> list[dict[str, Any]]:
    """Do an item, and return the lines of the manifest, of which a shard's is the last."""
    if not stores.is_address(item.target) and not stores.is_address(item.source):
        check_not_input(Path(item.target), identities([Path(item.source)]))
    if item.name.endswith(TAR):
        return _done_shard(item, kind, convert)
    data = stores.read(item.source) if stores.is_address(item.source) else read_file(Path(item.source))
    made, facts = convert(item.name, data)
    _write(item.target, BytesIO(made))
    return [{"name": item.name, "input_bytes": len(data), "bytes": len(made), **facts}]


def _done_shard(item: Item, kind: Kind, convert: Convert) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    left_out = 0
    with tempfile.SpooledTemporaryFile(_SPOOLED_BYTES) as spooled:
        with tarfile.open(fileobj=spooled, mode="w") as made, _readable(item.source) as file:
            for name, data in tars.contents(file, item.source, lambda _: True):
                if kind.wanted(name):
                    lines.append(_done_member(item.name, name, data, kind, convert, made))
                    made.members = []  # type: ignore[attr-defined]
                else:
                    left_out += 1
        _write(item.target, spooled)
    failed = sum("error" in line for line in lines)
    own = {"name": item.name, "files": len(lines) - failed, "failed": failed, "left_out": left_out}
    return [*lines, own]


def _done_member(
    shard: str, name: str, data: bytes, kind: Kind, convert: Convert, made: tarfile.TarFile
) -> dict[str, Any]:
    line: dict[str, Any] = {"name": f"{shard}/{name}", "shard": shard}
    try:
        content, facts = convert(name, data)
    except VqcError as error:
        return line | {"error": str(error)}
    info = tarfile.TarInfo(kind.renamed(name))
    info.size = len(content)
    made.addfile(info, BytesIO(content))
    return line | {"input_bytes": len(data), "bytes": len(content), **facts}


@contextmanager
def _readable(source: str) -> Iterator[IO[bytes]]:
    """Open a file to be read; of one in a store a copy, which is there to the end."""
    if not stores.is_address(source):
        check_input(Path(source))
        with Path(source).open("rb") as file:
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
