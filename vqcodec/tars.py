"""Files in .tar archives, read one after the other; an archive that is damaged or cut off is an error and not an end.

`tarfile` takes a header that it cannot read for the end, so it is asked whether what follows the last file is the block
of zeros that ends an archive.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import IO

from vqcodec.errors import InputError
from vqcodec.files import read_stream
from vqcodec.names import printable

TAR = ".tar"
_BLOCK_BYTES = 512


def names(file: IO[bytes], name: str) -> Iterator[str]:
    """Yield the names of the files in an archive, reading headers alone; InputError, and what the file raises."""
    with _one_sentence(name):
        yield from (member.name for _, member in _members(file))


def contents(
    file: IO[bytes], name: str, is_wanted: Callable[[str], bool], start: int = 0
) -> Iterator[tuple[str, bytes]]:
    """Yield names and bytes of the wanted files of an archive, from number `start` of them on; errors as in `names`."""
    found = ((archive, member) for archive, member in _members(file) if is_wanted(member.name))
    with _one_sentence(name):
        for archive, member in islice(found, start, None):
            stream = archive.extractfile(member)
            assert stream is not None
            yield member.name, read_stream(stream, f"{name}:{member.name}")  # type: ignore[arg-type]


def _members(file: IO[bytes]) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    with tarfile.open(fileobj=file) as archive:
        while (member := archive.next()) is not None:
            if member.isreg():
                yield archive, member
            archive.members = []  # type: ignore[attr-defined]  # it would keep all of them
        assert archive.fileobj is not None  # of a compressed archive what is unpacked
        archive.fileobj.seek(archive.offset)
        if archive.fileobj.read(_BLOCK_BYTES) != bytes(_BLOCK_BYTES):
            raise tarfile.ReadError("unexpected end of data")


@contextmanager
def _one_sentence(name: str) -> Iterator[None]:
    try:
        yield
    except tarfile.TarError as error:
        ends = "unexpected end" in str(error)
        said = "ends in the middle or is damaged" if ends else f"cannot be read as a .tar ({error})"
        raise InputError(f"{printable(name)} {said}; get a whole copy of it, or leave it out") from error
