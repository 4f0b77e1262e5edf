"""What a model file says of how it was made."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any, Protocol

import torch

from vqcodec import ranks
from vqcodec.training.stepping import Stepped


class Made(Stepped, Protocol):
    """A run on a device."""

    device: torch.device


def facts(state: Made) -> dict[str, Any]:
    """Return data, length, machine and settings of a run as plain values."""
    return {
        "data": state.settings.as_dict()["data"],
        "steps": state.progress.step,
        "seconds": round(state.progress.seconds),
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {_processes()}{torch.get_num_threads()} threads, {state.device.type}",
        "settings": told_settings(state),
    }


def told_settings(state: Made) -> dict[str, Any]:
    """Return the settings without the folders of files that they name: whose disk that was tells nobody."""
    settings = state.settings.as_dict()
    if settings.get("init"):
        settings["init"] = Path(settings["init"]).stem
    if settings.get("options"):
        options = settings["options"]
        settings["options"] = {k: Path(v).name if isinstance(v, str) else v for k, v in options.items()}
    return settings


def _processes() -> str:
    return f"{ranks.count()} processes of " if ranks.count() > 1 else ""
