"""Tables of vectors that do not learn: those of words in a file, or drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from vqcodec.errors import InputError, SettingsError


def read(path: str, count: int) -> Tensor:
    """Return the first `count` vectors float32 [count, width] of a file, channels with mean 0, all with variance 1.

    A .npy holds numbers [N, width]; anything else is text, a word and its numbers on each line, as GloVe and word2vec
    write it. InputError for a file that cannot be read so; SettingsError where it has fewer vectors.
    """
    try:
        vectors = np.load(path, allow_pickle=False) if Path(path).suffix == ".npy" else _lines(Path(path), count)
        if vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
            raise ValueError(f"it holds {vectors.dtype} of shape {vectors.shape}, not numbers in two dimensions")
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"the table of vectors {path} cannot be read: {error}") from error
    if len(vectors) < count:
        raise SettingsError(f"the table {path} has {len(vectors)} vectors, fewer than K={count}; choose a smaller K")
    table = torch.from_numpy(vectors[:count].astype(np.float32))
    if not table.isfinite().all():
        raise InputError(f"the table of vectors {path} has values that are infinite or no numbers; get another copy")
    centered = table - table.mean(0)
    return centered / centered.std().clamp(min=torch.finfo(torch.float32).tiny)


def drawn(count: int, width: int, seed: int) -> Tensor:
    """Return float32 [count, width] of the standard normal distribution."""
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def most_alike(table: Tensor, count: int, budget: int) -> Tensor:
    """Return int64 [K, count], for each vector of a table [K, width] itself and those of the most similar direction.

    No table of similarities has more than `budget` values, unless one row has.
    """
    unit, found = F.normalize(table, dim=1), []
    for start in range(0, len(unit), max(1, budget // len(unit))):
        alike = unit[start : start + max(1, budget // len(unit))] @ unit.t()
        # Its own direction comes first, also where another vector has the same.
        alike.diagonal(start).fill_(2.0)
        found.append(alike.topk(count, 1).indices)
    return torch.cat(found)


def _lines(path: Path, count: int) -> npt.NDArray[np.float32]:
    """Return the numbers of the first `count` lines, without word2vec's first one, which says how many there are."""
    rows: list[list[str]] = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            fields = line.rstrip().split(" ")
            if len(fields) > 2:
                rows.append(fields[1:])
            if len(rows) == count:
                break
    return np.array(rows, np.float32).reshape(len(rows), -1)
