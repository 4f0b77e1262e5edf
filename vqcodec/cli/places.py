"""The places that a collection goes from and to: how they are named, and whether a run may begin between them."""

from __future__ import annotations

import os
from pathlib import Path

from vqcodec import stores
from vqcodec.cli.items import shards_of
from vqcodec.errors import InputError, OutputError
from vqcodec.files import check_input, check_not_input, identities, lies_in
from vqcodec.folders import walked
from vqcodec.names import printable
from vqcodec.tars import is_tar_name


def place_of(name: str) -> str:
    """Return the one name of a folder or shard here, whatever links and dots lead to it, or an address.

    InputError for an address that names nothing in its store.
    """
    if stores.is_here(name):
        return os.path.realpath(stores.local(Path(name)))
    address = stores.address_of(name).rstrip("/")
    if "://" not in address:
        raise InputError(f"{name} names no folder in a store; write one, as in {address}//folder")
    return address


def check_source(source: str) -> None:
    """Raise InputError where there is nothing to convert, or its store does not answer."""
    if is_tar_name(source):
        _check_any_shard([place for _, place in shards_of(source)])
    elif stores.is_address(source):
        next(stores.listed(source), None)
    elif not os.path.isdir(source):
        raise InputError(f"{printable(source)} is no folder, shard or address in a store, of which a manifest can be")


def check_output(output: str) -> None:
    """Raise OutputError where a store takes no files."""
    if stores.is_address(output):
        stores.check_writable(output)


def check_apart(source: str, output: str) -> None:
    """Raise OutputError where outputs would lie in the folder of the input, or could take the place of inputs."""
    folder = _folder(source)
    if _lies_in(folder, output):
        raise OutputError(
            f"{output} is {folder} or above it, of which outputs would become a part; name a folder beside it"
        )
    if is_tar_name(source):
        _check_shards_apart(source, output)
    elif _lies_in(output, folder):
        raise OutputError(f"{output} is in {folder}, of which it would become a part; name a folder beside it")


def has_files(output: str) -> bool:
    """Return whether there is a file in a folder or store."""
    if stores.is_address(output):
        return stores.has_files(output)
    return next(walked(Path(output)), None) is not None if os.path.isdir(output) else os.path.exists(output)


def _folder(source: str) -> str:
    """Return the folder that names of outputs begin in: an input's own, or that of shards, as far as it is the same."""
    if not is_tar_name(source):
        return source
    name, place = next(shards_of(source))
    return place.removesuffix(name).rstrip("/") or "/"


def _lies_in(place: str, folder: str) -> bool:
    in_stores = stores.is_address(place), stores.is_address(folder)
    if all(in_stores):
        return stores.lies_in(place, folder)
    return not any(in_stores) and lies_in(Path(place), Path(folder))


def _check_shards_apart(source: str, output: str) -> None:
    shards = list(shards_of(source))
    targets = [f"{output}/{name}" for name, _ in shards]
    if stores.is_address(output):
        if taken := {place for _, place in shards}.intersection(targets):
            raise OutputError(f"{min(taken)} is an input, which is never overwritten; name a folder beside it")
    elif not stores.is_address(source):
        known = identities(Path(place) for _, place in shards)
        for target in targets:
            check_not_input(Path(target), known)


def _check_any_shard(places: list[str]) -> None:
    """Raise InputError where none of some shards is there; those that lack are said when it is their turn."""
    if not any(stores.has_file(place) if stores.is_address(place) else os.path.exists(place) for place in places):
        if stores.is_address(places[0]):
            raise InputError(f"{places[0]} does not exist; check the address")
        check_input(Path(places[0]))
