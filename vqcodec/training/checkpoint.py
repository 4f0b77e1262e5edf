"""Checkpoints: everything that a run needs to go on as if it had not been interrupted."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import torch

from vqcodec.errors import InputError, SettingsError
from vqcodec.training.settings import TrainingSettings
from vqcodec.training.state import TrainingState

_MAY_CHANGE = ("threads", "validation_minutes", "checkpoint_minutes", "steps", "seconds")


def save(path: Path, state: TrainingState) -> None:
    """Write a checkpoint beside its target, then rename it, so that an old one is never lost."""
    temporary = path.with_name(path.name + ".part")
    torch.save(state.state_dict(), temporary)
    os.replace(temporary, path)


def restore(path: Path, settings: TrainingSettings, device: torch.device) -> TrainingState:
    """Return the state in a checkpoint; its settings must be those of the run except for length and intervals."""
    try:
        values = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"there is no checkpoint {path} to resume from; start without --resume") from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise InputError(f"{path} is not a readable checkpoint; start without --resume") from error
    old, new = values["settings"], settings.as_dict()
    changed = sorted(key for key in new if key not in _MAY_CHANGE and old.get(key) != new[key])
    if changed:
        raise SettingsError(
            f"the checkpoint {path} was made with other settings ({', '.join(f'{k}={old.get(k)}' for k in changed)}); "
            "resume with those or start without --resume"
        )
    state = TrainingState(settings, device)
    state.load_state_dict(values)
    return state
