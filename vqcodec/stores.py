"""Files in object stores and on other file systems, which fsspec opens (extra `stores`): s3://bucket/key, gs://…, hdfs://…

Each kind of store has a package of its own, which fsspec names; credentials are where that package looks for them. A
store that answers with an error is asked again a few times, longer apart each time.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any, TypeVar

from vqcodec.errors import InputError, OutputError, SettingsError, VqcError

T = TypeVar("T")
# As a path, s3://bucket/key is s3:/bucket/key. One letter is a drive.
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/(/?)")
_WAIT_SECONDS = 0.5
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


def local(path: Path) -> Path:
    """Return the path of a file here that was named by an address, as file:///x is; another one as it is."""
    text = str(path)
    return Path("/" + text.removeprefix("file:").lstrip("/")) if text.startswith("file:/") else path


def opened(address: str) -> IO[bytes]:
    """Return a file of a store, open to be read from any place; what it raises is for `patiently` or `one_sentence`."""
    file: IO[bytes] = _fsspec().open(address, "rb").open()
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


def exists(address: str) -> bool:
    """Return whether a store has a file of that name; InputError where it does not answer."""
    return patiently(lambda: bool(_file_system(address).exists(address)), address)


def listed(address: str) -> Iterator[tuple[str, str]]:
    """Yield all files below a folder as names in it and addresses: its own sorted, then those of its folders.

    InputError where there is no such folder, or the store does not answer.
    """
    system = _file_system(address)
    root = str(system._strip_protocol(address)).rstrip("/")
    folders = [address.rstrip("/")]
    while folders:
        folder = folders.pop()
        deeper: list[str] = []
        entries = patiently(lambda folder=folder: system.ls(folder, detail=True), folder)  # type: ignore[misc]
        for entry in sorted(entries, key=lambda entry: str(entry["name"])):
            name, found = str(entry["name"]), str(system.unstrip_protocol(entry["name"]))
            if entry["type"] == "directory":
                deeper.append(found)
            elif name != system._strip_protocol(folder):  # some stores list a folder in itself
                yield name.removeprefix(root).lstrip("/"), found
        folders.extend(reversed(deeper))


def patiently(work: Callable[[], T], name: str, writes: bool = False) -> T:
    """Return what work does with a store that may fail now and then; after some tries InputError or OutputError."""
    for again in range(TRIES):
        try:
            return work()
        except Exception as error:  # a store's package raises errors of its own
            if isinstance(error, _FINAL) or again + 1 == TRIES:
                with one_sentence(name, writes):
                    raise
            wait(again)
    raise AssertionError


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
        said = str(error) or type(error).__name__
        raise error_of(f"{name} cannot be {'written' if writes else 'read'} ({said}); try again later") from error


def _read(address: str) -> bytes:
    with opened(address) as file:
        return file.read()


def _copy(address: str, file: IO[bytes]) -> None:
    file.seek(0)
    file.truncate()
    with opened(address) as source:
        shutil.copyfileobj(source, file)


def _write(address: str, file: IO[bytes]) -> None:
    # A file system that has folders needs them first.
    system = _file_system(address)
    system.makedirs(system._parent(system._strip_protocol(address)), exist_ok=True)
    file.seek(0)
    system.pipe_file(system._strip_protocol(address), file.read())


def _file_system(address: str) -> Any:
    with one_sentence(address):
        system, _ = _fsspec().core.url_to_fs(address)
        return system


def _fsspec() -> Any:
    return _package("fsspec")


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise SettingsError(f"files in stores need {name}; pip install 'vqcodec[stores]'") from error
