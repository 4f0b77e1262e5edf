"""Checkpoints: everything that a run needs to go on as if it had not been interrupted."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from vqcodec.errors import InputError, SettingsError
from vqcodec.files import atomic_write
from vqcodec.training.settings import TrainingSettings
from vqcodec.training.state import TrainingState

_MAY_CHANGE = ("threads", "validation_minutes", "checkpoint_minutes", "steps", "seconds", "data")
_KEYS = {
    "settings",
    "network",
    "quantizer",
    "density",
    "optimizer",
    "prior",
    "context",
    "context_is_trained",
    "pairs",
    "progress",
}


def save(path: Path, state: TrainingState) -> None:
    """Write a checkpoint beside its target, then rename it, so that an old one is never lost; OutputError if not."""
    with atomic_write(path, force=True) as file:
        torch.save(state.state_dict(), file)


def read(path: Path) -> dict[str, Any]:
    """Return what a checkpoint of a TrainingState holds; see read_values."""
    return read_values(path, _KEYS)


def read_values(path: Path, keys: set[str]) -> dict[str, Any]:
    """Return what a checkpoint holds, on the CPU; InputError where it is missing or lacks one of `keys`."""
    try:
        values: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"there is no checkpoint {path} to resume from; start without --resume") from error
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise InputError(f"{path} is not a readable checkpoint; start without --resume") from error
    if not isinstance(values, dict) or not set(values) >= keys:
        raise InputError(f"{path} is not a checkpoint of vqc train; start without --resume")
    return values


def restore(path: Path, settings: TrainingSettings, device: torch.device) -> TrainingState:
    """Return the state in a checkpoint; its settings must be those of the run except for length and intervals."""
    values = read(path)
    old, new = values["settings"], settings.as_dict()
    changed = sorted(key for key in new if key not in _MAY_CHANGE and old.get(key) != new[key])
    if changed:
        raise SettingsError(
            f"the checkpoint {path} was made with other settings ({', '.join(f'{k}={old.get(k)}' for k in changed)}); "
            "resume with those or start without --resume"
        )
    state = TrainingState(settings, device)
    try:
        state.load_state_dict(values)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is a checkpoint of another version of vqc; start without --resume") from error
    return state
