"""Files in object stores and on other file systems, which fsspec opens (extra `stores`): s3://bucket/key, gs://…, hdfs://…

Each kind of store has a package of its own, which fsspec names; credentials are where that package looks for them. A
store that answers with an error is asked again a few times, longer apart each time.
"""

from __future__ import annotations

import posixpath
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import IO, Any, TypeVar

from vqcodec.errors import InputError, OutputError, SettingsError, VqcError
from vqcodec.folders import is_hidden

T = TypeVar("T")
# As a path, s3://bucket/key is s3:/bucket/key. One letter is a drive.
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/(/?)")
_HERE = re.compile("(file|local):/+")
_WAIT_SECONDS = 0.5
_PROBE = ".vqc"
# Asking again changes nothing: wrong names, missing packages, and what is not allowed.
_FINAL = (VqcError, FileNotFoundError, PermissionError, ImportError, ValueError)
TRIES = 5
"""How often a store is asked."""


def is_address(path: Path | str) -> bool:
    """Return whether a path is meant to be in a store."""
    return _ADDRESS.match(str(path)) is not None


def address_of(path: Path | str) -> str:
    """Return the address of a file in a store that may have been through Path, which takes one of its slashes."""
    return _ADDRESS.sub(r"\1://", str(path), count=1)


def is_here(name: str) -> bool:
    """Return whether a path or an address, such as file:///x, is on this machine's file system."""
    return not is_address(name) or _HERE.match(name) is not None


def local(path: Path) -> Path:
    """Return the path of a file here that was named by an address, as file:///x is; another one as it is."""
    return Path(_HERE.sub("/", str(path), count=1))


def opened(address: str) -> IO[bytes]:
    """Return a file of a store, open to be read from any place; what it raises is for `patiently` or `one_sentence`."""
    system, path = _located(address)
    file: IO[bytes] = system.open(path, "rb")
    return file


def expanded(address: str) -> list[str]:
    """Return the addresses that one with braces stands for, as shard-{000..099}.tar does, or itself."""
    if "{" not in address:
        return [address]
    with one_sentence(address):
        return list(_package("braceexpand").braceexpand(address))


def read(address: str) -> bytes:
    """Return the bytes of a file in a store; InputError where it has none of that name, or does not answer."""
    return patiently(lambda: _read(address), address)


def copy(address: str, file: IO[bytes]) -> None:
    """Copy a file of a store into a local one, from its beginning on; InputError."""
    patiently(lambda: _copy(address, file), address)


def write(address: str, file: IO[bytes]) -> None:
    """Write a file of a store with what a local one holds, whole or not at all; OutputError.

    It goes through memory: a file that a store lets write piece by piece is there, cut off, when a process is ended.
    """
    patiently(lambda: _write(address, file), address, writes=True)


def lies_in(address: str, folder: str) -> bool:
    """Return whether an address is a folder of a store or in it, however both are written."""
    (system, path), (other, root) = (patiently(lambda name=name: _located(name), name) for name in (address, folder))  # type: ignore[misc]
    return bool(system == other) and f"{_plain(path)}/".startswith(f"{_plain(root)}/")


def has_files(address: str) -> bool:
    """Return whether a folder of a store has a file that is not hidden; InputError where the store does not answer."""
    return patiently(lambda: _is_folder(address), address) and not all(is_hidden(name) for name, _ in listed(address))


def has_file(address: str) -> bool:
    """Return whether a store has a file of that name; InputError where it does not answer."""
    return patiently(lambda: _has_file(address), address)


def check_writable(address: str) -> None:
    """Raise OutputError where a store takes no files below an address: an empty one is written and removed again."""
    probe = f"{address}/{_PROBE}"
    write(probe, BytesIO())
    with suppress(Exception):  # who may write need not be allowed to remove
        system, path = _located(probe)
        system.rm_file(path)


def listed(address: str) -> Iterator[tuple[str, str]]:
    """Yield all files below a folder as names in it and addresses: its own sorted, then those of its folders.

    InputError where there is no such folder, or the store does not answer.
    """
    system, root = patiently(lambda: _located(address), address)
    root, folders = root.rstrip("/"), [root]
    while folders:
        folder = folders.pop()
        deeper: list[str] = []
        entries = patiently(lambda folder=folder: system.ls(folder, detail=True), _below(address, root, folder))  # type: ignore[misc]
        for entry in sorted(entries, key=lambda entry: str(entry["name"])):
            path = str(entry["name"])
            if entry["type"] == "directory":
                deeper.append(path)
            elif path.rstrip("/") != folder.rstrip("/"):  # some stores list a folder in itself
                yield path.removeprefix(root).lstrip("/"), _below(address, root, path)
        folders.extend(reversed(deeper))


def patiently(work: Callable[[], T], name: str, writes: bool = False) -> T:
    """Return what work does with a store that may fail now and then; after some tries InputError or OutputError."""
    for again in range(TRIES):
        try:
            return work()
        except Exception as error:  # a store's package raises errors of its own
            if is_final(error) or again + 1 == TRIES:
                with one_sentence(name, writes):
                    raise
            wait(again)
    raise AssertionError


def is_final(error: Exception) -> bool:
    """Return whether a store that raises an error would raise it again."""
    return isinstance(error, _FINAL)


def wait(tries: int) -> None:
    """Wait before a store is asked again that has failed once more than `tries` times."""
    time.sleep(_WAIT_SECONDS * 2**tries)


@contextmanager
def one_sentence(name: str, writes: bool = False) -> Iterator[None]:
    """Say in one sentence what a store's package says in its own way."""
    error_of = OutputError if writes else InputError
    try:
        yield
    except VqcError:
        raise
    except FileNotFoundError as error:
        raise error_of(f"{name} does not exist; check the address") from error
    except (ImportError, ValueError) as error:
        raise SettingsError(f"{name}: {error}") from error
    except Exception as error:
        said = f"{name} cannot be {'written' if writes else 'read'} ({str(error) or type(error).__name__})"
        refused = isinstance(error, PermissionError)
        raise error_of(f"{said}; {'check what you may do there' if refused else 'try again later'}") from error


def _read(address: str) -> bytes:
    with opened(address) as file:
        return file.read()


def _copy(address: str, file: IO[bytes]) -> None:
    from shutil import copyfileobj  # with all formats of archives, which nobody else needs

    file.seek(0)
    file.truncate()
    with opened(address) as source:
        copyfileobj(source, file)


def _write(address: str, file: IO[bytes]) -> None:
    # A file system that has folders needs them first.
    system, path = _located(address)
    system.makedirs(system._parent(path), exist_ok=True)
    file.seek(0)
    system.pipe_file(path, file.read())


def _is_folder(address: str) -> bool:
    """Return whether a store has a folder; fsspec's own `exists` says no as well where it cannot be asked."""
    system, path = _located(address)
    try:
        system.ls(path, detail=True)
    except FileNotFoundError:
        return False
    return True


def _has_file(address: str) -> bool:
    system, path = _located(address)
    try:
        return bool(system.info(path)["type"] == "file")
    except FileNotFoundError:
        return False


def _below(address: str, root: str, path: str) -> str:
    """Return the address of a path below a folder with an address and the path `root`; its host is kept."""
    return address.rstrip("/") + path.removeprefix(root)


def _plain(path: str) -> str:
    return posixpath.normpath(f"/{path.lstrip('/')}").rstrip("/")


def _located(address: str) -> tuple[Any, str]:
    """Return the file system of an address and its path there.

    Two colons, which fsspec takes for a chain of file systems, are those of a name here.
    """
    kind = _fsspec().get_filesystem_class(address.partition("://")[0])
    return kind(**kind._get_kwargs_from_urls(address)), str(kind._strip_protocol(address))


def _fsspec() -> Any:
    return _package("fsspec")


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise SettingsError(f"files in stores need {name}; pip install 'vqcodec[stores]'") from error
