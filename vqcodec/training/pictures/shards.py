"""Shards: parts of a set of pictures that are read one after the other, from their beginning or from the middle.

A shard is a .tar file, here or in a store, or some files of a folder. How many pictures a .tar has is counted once, or
said by an index as webdataset's `widsindex` writes it: a .json with `shardlist`, a list of `url` and `nsamples`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TypeVar

from tqdm import tqdm

from vqcodec import stores, tars
from vqcodec.errors import InputError
from vqcodec.files import parsed_json, read_file, readable
from vqcodec.folders import Found, is_hidden
from vqcodec.image import is_picture_name, list_pictures
from vqcodec.names import printable
from vqcodec.tars import TAR, is_tar_name

P = TypeVar("P", str, Path)
INDEX = ".json"
_FILES_EACH = 256
# As webdataset has it: what is said of a shard and is no part of it.
_ABOUT = re.compile(r"__[^/]*__($|/)")


@dataclass(frozen=True)
class Shard:
    """`count` pictures, without the first `skipped`: of the .tar at a path or address `name`, or the files `paths`."""

    name: str
    count: int
    paths: tuple[Path, ...] = ()
    skipped: int = 0

    def items(self, start: int = 0) -> Iterator[tuple[str, bytes]]:
        """Yield names and bytes of the pictures from number `start` on; InputError where a .tar is not what it was."""
        first = self.skipped + start
        if self.paths:
            yield from ((str(path), read_file(path)) for path in self.paths[first:])
        else:
            yield from _patient(self.name, first, self.skipped + self.count)

    def without(self, skipped: int) -> Shard:
        """Return what is left of a whole shard without its first pictures."""
        return replace(self, skipped=skipped, count=self.count - skipped)


def is_streamed(source: Path) -> bool:
    """Return whether a source can only be streamed: an address in a store, or an index of shards."""
    return stores.is_address(source) or source.suffix.lower() == INDEX


def find_shards(sources: Iterable[Path]) -> tuple[list[Shard], Found]:
    """Return the shards of folders, .tar files, indices, picture files and addresses in stores, and what is left out.

    InputError where there is none, SettingsError without the packages for it.
    """
    found, files, archives, shards = Found(), list[Path](), list[str](), list[Shard]()
    for source in map(stores.local, sources):
        if stores.is_address(source):
            archives += _in_store(stores.address_of(source), shards, found)
        elif source.is_dir():
            listing = list_pictures(source, (TAR,))
            archives += [str(path) for path in listing.checked() if is_tar_name(path.name)]
            files += [path for path in listing.files if not is_tar_name(path.name)]
            found.left_out += listing.left_out
        elif source.suffix.lower() == INDEX:
            shards += _by_index(str(source), read_file(source))
        elif is_tar_name(source.name):
            archives.append(str(source))
        else:
            files.append(source)
    files, archives = _once(files), [str(name) for name in _once(archives)]
    parts = [files[i : i + _FILES_EACH] for i in range(0, len(files), _FILES_EACH)]
    shards += [Shard(str(part[0]), len(part), tuple(part)) for part in parts]
    bar = tqdm(archives, desc="counting pictures", unit="shard", delay=1.0, disable=None)
    shards += [Shard(tar, _counted(tar)) for tar in bar]
    return [shard for shard in dict.fromkeys(shards) if shard.count], found


def _once(named: list[P]) -> list[P]:
    """Return names without those that lead to a file that another leads to: nothing is held out and trained on."""
    return list({str(name) if stores.is_address(name) else os.path.realpath(name): name for name in named}.values())


def _in_store(address: str, shards: list[Shard], found: Found) -> list[str]:
    """Return the .tar files of an address, which may have braces or be a folder; an index adds to `shards`.

    InputError for a folder without any; what else it holds is left out, pictures too.
    """
    if address.endswith(INDEX):
        shards += _by_index(address, stores.read(address))
        return []
    if is_tar_name(address):
        return stores.expanded(address)
    archives: list[str] = []
    for name, place in stores.listed(address):
        if is_tar_name(name) and not is_hidden(name):
            archives.append(place)
        else:
            found.left_out.append(Path(place))
    if not archives:
        raise InputError(f"{address} holds no .tar files, of which pictures in a store are read; pack them into some")
    return archives


def _by_index(name: str, data: bytes) -> list[Shard]:
    folder = name.rpartition("/")[0]
    try:
        listed = [(str(entry["url"]), entry["nsamples"]) for entry in parsed_json(data)["shardlist"]]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{name} is no index of shards, with a shardlist of url and nsamples; make it with widsindex"
        ) from error
    if any(type(count) is not int or count < 1 for _, count in listed):
        raise InputError(f"{name} says numbers of pictures that cannot be; make it anew with widsindex")
    place = f"{folder}/" if folder else ""
    return [Shard(url if stores.is_address(url) or url.startswith("/") else place + url, n) for url, n in listed]


def _counted(name: str) -> int:
    """Return how many pictures a .tar has: of those here the headers are read alone."""
    if stores.is_address(name):
        return stores.patiently(lambda: _count(name), name)
    with readable(Path(name)):
        return _count(name)


def _count(name: str) -> int:
    with _open(name) as file:
        return sum(map(_is_wanted, tars.names(file, name)))


def _patient(name: str, start: int, end: int) -> Iterator[tuple[str, bytes]]:
    """Yield the pictures `start` to `end` of a .tar; where a store fails, open it again and go on."""
    tries = 0
    while start < end:
        try:
            for item in _pictures(name, start):
                yield item
                start, tries = start + 1, 0
            break
        except Exception as error:  # a store's package raises errors of its own
            tries += 1
            if not stores.is_address(name) or stores.is_final(error) or tries == stores.TRIES:
                with stores.one_sentence(name):
                    raise
            stores.wait(tries - 1)
    if start != end:
        raise InputError(f"{printable(name)} has {start} pictures, and {end} were counted; start with a new index")


def _pictures(name: str, start: int) -> Iterator[tuple[str, bytes]]:
    with _open(name) as file:
        for member, data in tars.contents(file, name, _is_wanted, start):
            yield f"{name}:{member}", data


def _is_wanted(name: str) -> bool:
    return is_picture_name(name) and not is_hidden(name) and not _ABOUT.match(name)


def _open(name: str) -> IO[bytes]:
    return stores.opened(name) if stores.is_address(name) else Path(name).open("rb")
