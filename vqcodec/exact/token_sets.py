"""The indices of many pictures in one .npz, for programs that learn from them, and back to files; no torch.

names        text [N], paths below the folder that the pictures came from
indices      uint16 [N, P, h', w'] where all pictures have the same grid, or one after the other in one dimension
shapes       int64 [N, 3], the P, h', w' of each
classes, class_shapes      likewise uint8 [N, h, w] and int64 [N, 2], where the prior is static
width, height, quality, tile, halved   [N]
fingerprint, model, ...    of the one model of all, as in tokens.py
icc, sections    uint8 [n], those of the pictures one after the other, with icc_bytes and sections_bytes [N], 0 for none
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from vqcodec.errors import FormatError
from vqcodec.exact.model_file import Metadata
from vqcodec.exact.tokens import Tokens, from_values, npz_errors, said_of_model

_NUMBERS: dict[str, Any] = dict.fromkeys(("width", "height", "tile", "halved"), np.int64) | {"quality": np.float64}
_GRIDS = {"indices": "shapes", "classes": "class_shapes"}
_EXTRAS = ("icc", "sections")
_MOST_BYTES = 1 << 34


def is_set(data: bytes) -> bool:
    """Return whether an .npz is one of many pictures."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            return "names.npy" in file.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def to_npz(names: Sequence[str], pictures: Sequence[Mapping[str, Any]], metadata: Metadata) -> bytes:
    """Return the .npz of pictures of a model, at least one; each is what tokens.said_of_picture says of it."""
    values: dict[str, Any] = {**said_of_model(metadata), "names": np.array(names, np.str_)}
    values |= {key: np.array([said[key] for said in pictures], kind) for key, kind in _NUMBERS.items()}
    for key, shapes in _GRIDS.items():
        if key in pictures[0]:
            grids = [said[key] for said in pictures]
            values[shapes] = np.array([grid.shape for grid in grids], np.int64)
            alike = len({grid.shape for grid in grids}) == 1
            values[key] = np.stack(grids) if alike else np.concatenate([grid.ravel() for grid in grids])
    for key in _EXTRAS:
        parts = [said.get(key, np.empty(0, np.uint8)) for said in pictures]
        if any(map(len, parts)):
            values |= {key: np.concatenate(parts), f"{key}_bytes": np.array([*map(len, parts)], np.int64)}
    file = io.BytesIO()
    np.savez_compressed(file, **values)
    return file.getvalue()


def from_npz(data: bytes) -> list[tuple[str, Tokens]]:
    """Return the names and indices of all pictures; FormatError where the .npz is damaged, or not of vqc tokens."""
    with npz_errors():
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            if sum(member.file_size for member in file.infolist()) > _MOST_BYTES:
                raise FormatError(f"the .npz has more than {_MOST_BYTES:,} bytes of indices; divide the folder")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            values = dict(arrays)
        return list(_pictures(values))


def _pictures(values: Mapping[str, npt.NDArray[Any]]) -> Iterator[tuple[str, Tokens]]:
    names = [str(name) for name in values["names"]]
    columns: dict[str, Any] = {key: values[key] for key in _NUMBERS if key in values}
    for key, shapes in _GRIDS.items():
        if key == "indices" or key in values:
            columns[key] = _divided(key, values[key], values[shapes])
    for key in _EXTRAS:
        if key in values:
            columns[key] = _divided(key, values[key], values[f"{key}_bytes"][:, None])
    for key, column in columns.items():
        if len(column) != len(names):
            raise FormatError(f"the .npz has {len(column)} of {key} for {len(names)} names")
    for number, name in enumerate(names):
        said = {key: column[number] for key, column in columns.items()}
        there = {key: value for key, value in said.items() if key not in _EXTRAS or len(value)}
        yield _checked(name), from_values({**there, "fingerprint": str(values["fingerprint"])})


def _divided(key: str, values: npt.NDArray[Any], shapes: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Return the arrays of shapes [N, n] that lie one after the other in values of any shape."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    if (np.asarray(shapes) < 0).any() or sum(sizes) != values.size:
        raise FormatError(f"the .npz has {values.size} numbers of {key}, but the shapes of {sum(sizes)}")
    parts = np.split(values.ravel(), np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _checked(name: str) -> str:
    """Return a name; FormatError for one that would lead out of the folder that it is written to."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name or "\\" in name or ":" in name or "\0" in name:
        raise FormatError(f"the .npz names a picture {name!r}, which is no path below a folder")
    return name
