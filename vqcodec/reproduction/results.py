"""The work folder: NAME.json for what was measured of a run, lossless-DATASET.json for other formats' bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vqcodec.errors import InputError
from vqcodec.files import atomic_write, parsed_json, read_file

Values = dict[str, Any]
FORMAT = 1
RUN_KEYS = ("run", "data", "train_pictures", "steps", "epochs", "seconds", "settings", "fingerprint", "measured")
LOSSLESS_KEYS = ("data", "pictures", "pixels", "bytes")


def read_run(work: Path, name: str) -> Values | None:
    """Return what was measured of a run, None where nothing was; InputError where the file is damaged."""
    return _read(work / f"{name}.json", RUN_KEYS)


def write_run(work: Path, name: str, values: Values) -> Values:
    """Write and return what was measured of a run."""
    return _write(work / f"{name}.json", values)


def budget(values: Values) -> tuple[int, float]:
    """Return what a run had: how many pictures to train on, and epochs of them, the same for what is compared."""
    return values["train_pictures"], round(values["epochs"], 2)


def budget_text(pictures: int, epochs: float) -> str:
    """Return a budget in words."""
    return f"{epochs:.3g} {'epoch' if epochs == 1 else 'epochs'} of {pictures:,} pictures"


def read_lossless(work: Path, dataset: str) -> Values | None:
    """Return the bytes of lossless formats on a data set, None where they were not measured."""
    return _read(work / f"lossless-{dataset}.json", LOSSLESS_KEYS)


def write_lossless(work: Path, dataset: str, values: Values) -> Values:
    """Write and return the bytes of lossless formats."""
    return _write(work / f"lossless-{dataset}.json", values)


def _read(path: Path, keys: tuple[str, ...]) -> Values | None:
    if not path.exists():
        return None
    try:
        values = parsed_json(read_file(path))
    except ValueError as error:
        raise InputError(f"{path} is damaged; delete it, and what it said is measured anew") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT or not values.keys() >= set(keys):
        raise InputError(f"{path} is not of this vqc; delete it, and what it said is measured anew")
    return values


def _write(path: Path, values: Values) -> Values:
    values = {"format": FORMAT} | values
    with atomic_write(path, force=True) as file:
        file.write((json.dumps(values, indent=1) + "\n").encode())
    return values
