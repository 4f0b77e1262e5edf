"""Checkpoints: everything that a run needs to go on as if it had not been interrupted."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import torch

from vqcodec.errors import InputError, SettingsError
from vqcodec.files import atomic_write

# What changes how long a run lasts or how often it looks up, but not what a step does.
_MAY_CHANGE = ("threads", "validation_minutes", "checkpoint_minutes", "steps", "seconds", "data")


class Settings(Protocol):
    """The settings of a run, a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""


class Run(Protocol):
    """What a checkpoint keeps."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything as tensors and plain values, the settings as `settings`."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""


R = TypeVar("R", bound=Run)
S = TypeVar("S", bound=Settings)


def save(path: Path, state: Run) -> None:
    """Write a checkpoint beside its target, then rename it, so that an old one is never lost; OutputError if not."""
    with atomic_write(path, force=True) as file:
        torch.save(state.state_dict(), file)


def read(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds, on the CPU; InputError where it is missing or not one."""
    try:
        values: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"there is no checkpoint {path} to resume from; start without --resume") from error
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise InputError(f"{path} is not a readable checkpoint; start without --resume") from error
    if not isinstance(values, dict) or not isinstance(values.get("settings"), dict):
        raise InputError(f"{path} is not a checkpoint of vqc train; start without --resume")
    return values


def begin(path: Path, kind: Callable[[S, torch.device], R], settings: S, device: torch.device, resume: bool) -> R:
    """Return kind(settings, device), with `resume` as a checkpoint has it; see restore."""
    return restore(path, kind, settings, device) if resume else kind(settings, device)


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def restore(path: Path, kind: Callable[[S, torch.device], R], settings: S, device: torch.device) -> R:
    """Return kind(settings, device) as a checkpoint has it.

    SettingsError where the run had other settings, except for length and intervals; InputError where it is of another
    kind or version.
    """
    values, new = read(path), settings.as_dict()
    # A setting that is newer than the checkpoint was what is now its default.
    old = {field.name: _default(field) for field in fields(type(settings))} | values["settings"]
    changed = sorted(key for key in new if key not in _MAY_CHANGE and old.get(key) != new[key])
    if changed:
        raise SettingsError(
            f"the checkpoint {path} was made with other settings ({', '.join(f'{k}={old.get(k)}' for k in changed)}); "
            "resume with those or start without --resume"
        )
    state = kind(settings, device)
    try:
        state.load_state_dict(values)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is a checkpoint of another version of vqc; start without --resume") from error
    return state
