"""The files in which MNIST, Fashion-MNIST and CIFAR-10 are published, read without trusting them.

Every reader knows the shape that it must find, and raises InputError with one sentence for all else.
CIFAR-10's Python version is pickled: it is read by an unpickler that knows the few names that arrays and
bytes need, and puts objects without abilities in their place, so that no code of the file's choosing
ever runs.
"""

from __future__ import annotations

import gzip
import io
import lzma
import math
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from vqcodec.errors import InputError
from vqcodec.image import read_picture

Bytes = npt.NDArray[np.uint8]
Shape = tuple[int, int, int]
"""Height, width and channels of each picture."""
Parse = Callable[[bytes, int, str], tuple[Bytes, Bytes]]
"""A batch's bytes, how many pictures it must have and what errors call it -> pixels and labels."""

_CIFAR_SIDE, _CIFAR_VALUES = 32, 3 * 32 * 32
_MOST_BATCH_BYTES = 1 << 26


def read_packed(path: Path, shape: Shape, most: int) -> tuple[Bytes, Bytes, npt.NDArray[np.bool_]]:
    """Return pixels uint8 [N, *shape], labels uint8 [N] and exact bool [N] of an .npz of at most `most` pictures.

    It holds `shape` (N, H, W, C), `labels`, maybe `exact`, and the pixels: as `xz`, one LZMA stream, or
    as `strip000`, `strip001`, ..., lossless pictures in which those of the set stand one below the other.
    """
    with _translated(str(path)):
        if not zipfile.is_zipfile(path):
            raise ValueError("it is not an .npz file")
        with np.load(path, allow_pickle=False) as file:
            count, *said = (int(value) for value in file["shape"])
            if tuple(said) != shape or not 1 <= count <= most:
                raise ValueError(f"it says {count} pictures of {said}, at most {most} of {list(shape)} are possible")
            pixels = _stream(file["xz"], count, shape) if "xz" in file else _strips(file, shape, str(path))
            labels, exact = file["labels"], file["exact"] if "exact" in file else np.ones(count, np.bool_)
        if len(pixels) != count or not labels.shape == exact.shape == (count,):
            raise ValueError(f"it does not hold {count} pictures with their labels")
        if (labels.dtype, exact.dtype) != (np.uint8, np.bool_):
            raise ValueError(f"its labels are {labels.dtype} and what is exact is {exact.dtype}, not uint8 and bool")
        return pixels, labels, exact


def _stream(packed: Bytes, count: int, shape: Shape) -> Bytes:
    size = count * math.prod(shape)
    data = lzma.LZMADecompressor().decompress(packed.tobytes(), max_length=size + 1)
    return _array(data, size).reshape(count, *shape)


def _strips(file: Mapping[str, Bytes], shape: Shape, name: str) -> Bytes:
    height, width, channels = shape
    strips = []
    for key in sorted(key for key in file if key.startswith("strip")):
        pixels = read_picture(file[key].tobytes(), f"{key} of {name}").pixels
        if pixels.shape[1] != width:
            raise ValueError(f"{key} is {pixels.shape[1]} pixels wide, not {width}")
        strips.append(pixels[..., :channels].reshape(-1, height, width, channels))
    return np.concatenate(strips)


def read_idx(path: Path, shape: tuple[int, ...]) -> Bytes:
    """Return uint8 [*shape] of an idx file (MNIST's format), which may be compressed by gzip.

    Its header is 0, 0, 8 for bytes, the number of dimensions, and each of them as 32 bits, the highest byte first.
    """
    start = struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape)
    size = math.prod(shape)
    with _translated(str(path)):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header, data = file.read(len(start)), file.read(size + 1)
        if header[:4] != start[:4]:
            raise ValueError(f"it does not begin as an idx file of bytes in {len(shape)} dimensions")
        if header != start:
            raise ValueError(f"it says other dimensions than {list(shape)}")
        return _array(data, size).reshape(shape)


def read_batch(path: Path) -> bytes:
    """Return the contents of a file of CIFAR-10."""
    with _translated(str(path)), path.open("rb") as file:
        return _at_most(file, str(path))


def read_members(archive: Path, wanted: list[str]) -> list[bytes]:
    """Return the contents of the wanted files of a .tar.gz, in the order of their names in `wanted`."""
    found: dict[str, bytes] = {}
    with _translated(str(archive)), tarfile.open(archive, "r:gz") as members:
        for member in members:
            if member.name in wanted and member.isreg():
                file = members.extractfile(member)
                assert file is not None
                found[member.name] = _at_most(file, f"{member.name} of {archive}")
                if len(found) == len(wanted):
                    break
    missing = [name for name in wanted if name not in found]
    if missing:
        raise InputError(f"{archive} has no {missing[0]}; get a complete copy of it")
    return [found[name] for name in wanted]


def parse_binary(data: bytes, count: int, name: str) -> tuple[Bytes, Bytes]:
    """Return pixels uint8 [count, 32, 32, 3] and labels of a batch of CIFAR-10's binary version.

    A record is a label and the picture's red, green and blue planes.
    """
    with _translated(name):
        records = _array(data, count * (1 + _CIFAR_VALUES)).reshape(count, -1)
        return _from_planes(records[:, 1:]), records[:, 0].copy()


def parse_pickled(data: bytes, count: int, name: str) -> tuple[Bytes, Bytes]:
    """Return pixels uint8 [count, 32, 32, 3] and labels of a batch of CIFAR-10's Python version.

    That is a pickled dict with `data` uint8 [count, 3072], the planes of each picture, and `labels`, a list.
    """
    with _translated(name):
        batch = _Unpickler(io.BytesIO(data), encoding="bytes").load()
        named = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        labels = named["labels"]
        if len(labels) != count or not all(type(label) is int and 0 <= label <= 255 for label in labels):
            raise ValueError(f"its labels are not {count} small integers")
        return _from_planes(named["data"].rows(count)), np.array(labels, np.uint8)


class _Dtype:
    """What a pickle gets for numpy.dtype: it keeps the type's name."""

    def __init__(self, name: Any, *_: object) -> None:
        self.name = name

    def __setstate__(self, _: object) -> None:
        """Byte order and fields do not matter: only plain bytes are ever read."""


class _Array:
    """What a pickle gets for numpy.ndarray: it keeps what it is told."""

    def __init__(self, *_: object) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def rows(self, count: int) -> Bytes:
        """Return uint8 [count, 3072]; ValueError if it was told of anything else."""
        _, shape, dtype, is_fortran, data = self.state
        name = dtype.name.decode() if isinstance(dtype.name, bytes) else dtype.name
        if shape != (count, _CIFAR_VALUES) or name != "u1" or is_fortran or not isinstance(data, bytes):
            raise ValueError(f"its data are not {count} rows of {_CIFAR_VALUES} bytes")
        return _array(data, count * _CIFAR_VALUES).reshape(shape)


def _latin1(text: str, encoding: str) -> bytes:
    """What a pickle gets for _codecs.encode, by which Python 3 writes bytes in Python 2's protocol."""
    if encoding != "latin1":
        raise ValueError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _latin1,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return what stands in for a name; refuse every other."""
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which arrays of bytes do not need")
        return _STAND_INS[module, name]


def _from_planes(rows: Bytes) -> Bytes:
    """Return pixels uint8 [N, 32, 32, 3] of rows [N, 3072]."""
    return rows.reshape(-1, 3, _CIFAR_SIDE, _CIFAR_SIDE).transpose(0, 2, 3, 1).copy()


def _array(data: bytes, size: int) -> Bytes:
    """Return `size` bytes as an array; ValueError for more or fewer."""
    if len(data) != size:
        raise ValueError(f"it has {'fewer' if len(data) < size else 'more'} than the {size} bytes it should have")
    return np.frombuffer(data, np.uint8).copy()


def _at_most(file: IO[bytes], name: str) -> bytes:
    data = file.read(_MOST_BATCH_BYTES + 1)
    if len(data) > _MOST_BATCH_BYTES:
        raise InputError(f"{name} is larger than any batch of CIFAR-10; get another copy of it")
    return data


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn whatever reading a file raises into an InputError that names the file."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist, but other files of its set do; get a complete copy") from error
    except Exception as error:  # decompressors and pickle raise nearly anything for damaged data
        raise InputError(f"{name} is damaged or another file than it should be ({error}); get a copy anew") from error
