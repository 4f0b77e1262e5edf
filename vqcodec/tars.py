"""Files in .tar archives, read one after the other; an archive that is damaged or cut off is an error and not an end.

`tarfile` takes a header that it cannot read for the end, so it is asked whether what follows the last file is the block
of zeros that ends an archive. A hard link, which GNU tar writes for a file that has a second name, is a file too.
"""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import IO

from vqcodec.errors import InputError
from vqcodec.files import read_stream
from vqcodec.names import printable

TAR = ".tar"
_BLOCK_BYTES, _PIECE_BYTES = 512, 1 << 20
_ADVICE = "get a whole copy of it, or leave it out"
# What headers and packed bytes can make of the libraries that read them, but not what a disk or a store says.
_DAMAGE = (
    tarfile.TarError, EOFError, LookupError, OverflowError, RecursionError, ValueError, gzip.BadGzipFile,
    lzma.LZMAError, zlib.error,
)  # fmt: skip
_Told = Callable[[str], None]
_File = tuple[str, Callable[[], bytes]]


def _nobody(name: str) -> None:
    """Be told of a file without doing anything."""


def is_tar_name(name: str) -> bool:
    """Return whether a name is that of an archive."""
    return name.lower().endswith(TAR)


def names(file: IO[bytes], name: str) -> Iterator[str]:
    """Yield the names of the files in an archive, reading headers alone; InputError, and what the file raises."""
    yield from (named for named, _ in _files(file, name, _nobody))


def contents(
    file: IO[bytes], name: str, is_wanted: Callable[[str], bool], start: int = 0, left_out: _Told = _nobody
) -> Iterator[tuple[str, bytes]]:
    """Yield names and bytes of the wanted files of an archive, from number `start` of them on; errors as in `names`.

    `left_out` is told the names of the others, and of links that lead to no file of the archive.
    """
    for named, read in islice(_wanted(_files(file, name, left_out), is_wanted, left_out), start, None):
        with _one_sentence(name):
            data = read()
        yield named, data


def _wanted(files: Iterator[_File], is_wanted: Callable[[str], bool], left_out: _Told) -> Iterator[_File]:
    for file in files:
        if is_wanted(file[0]):
            yield file
        else:
            left_out(file[0])


def _files(file: IO[bytes], name: str, left_out: _Told) -> Iterator[_File]:
    """Yield the names of files, each with what reads it before the next is asked for."""
    with _one_sentence(name):
        archive = _opened(file, name)
    with archive, _one_sentence(name):
        offsets: dict[str, int] = {}
        while (member := archive.next()) is not None:
            offset = offsets.get(member.linkname) if member.islnk() else member.offset
            if offset is not None and (member.isreg() or member.islnk()):
                offsets[member.name] = offset
                yield member.name, partial(_read, archive, offset, f"{name}:{member.name}")
            elif not member.isdir():
                left_out(member.name)
            archive.members = []  # type: ignore[attr-defined]  # it would keep all of them
        _check_end(archive, file)


def _opened(file: IO[bytes], name: str) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=file)
    except tarfile.ReadError as error:
        file.seek(0)
        said = "is no .tar" if file.read(1) else "is empty"
        raise InputError(f"{printable(name)} {said}; {_ADVICE}") from error


def _read(archive: tarfile.TarFile, offset: int, name: str) -> bytes:
    """Return the bytes of the file whose header is at an offset, and leave the archive where it is."""
    assert archive.fileobj is not None  # of a compressed archive what is unpacked
    here = archive.offset
    archive.fileobj.seek(offset)
    stream = archive.extractfile(tarfile.TarInfo.fromtarfile(archive))
    archive.offset = here
    assert stream is not None
    return read_stream(stream, name)  # type: ignore[arg-type]


def _check_end(archive: tarfile.TarFile, file: IO[bytes]) -> None:
    """Raise one of _DAMAGE where an archive does not end as it should; the sum of a packed one stands at its end."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(_BLOCK_BYTES) != bytes(_BLOCK_BYTES):
        raise tarfile.ReadError("unexpected end of data")
    while archive.fileobj is not file and archive.fileobj.read(_PIECE_BYTES):
        pass


@contextmanager
def _one_sentence(name: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise InputError(f"{printable(name)} ends in the middle or is damaged; {_ADVICE}") from error
