"""Where networks compute: on the processor, or through torch on a GPU. Indices are exact either way: they never do."""

from __future__ import annotations

import os

from vqcodec.errors import SettingsError

DEVICE_VARIABLE = "VQC_DEVICE"
"""The environment variable that says where networks compute, where a caller does not."""
CPU, CUDA, MPS, AUTO = "cpu", "cuda", "mps", "auto"
DEVICES = CPU, CUDA, MPS, AUTO


def chosen(name: str | None = None) -> str:
    """Return "cpu", "cuda" or "mps" for one of DEVICES, or for what VQC_DEVICE says, which is "cpu" without it.

    "auto" is a GPU where torch has one that works, and the processor where not. SettingsError for a name that is none
    of them, and for a GPU that is not there. For "cpu" torch is not imported.
    """
    name = name or os.environ.get(DEVICE_VARIABLE) or CPU
    if name not in DEVICES:
        raise SettingsError(f"there is no device {name!r}; choose one of {', '.join(DEVICES)}")
    if name == CPU:
        return CPU
    there = {CUDA: _has_cuda, MPS: _has_mps}
    if name == AUTO:
        return next((gpu for gpu, is_there in there.items() if is_there()), CPU)
    if not there[name]():
        raise SettingsError(
            f"torch finds no {name} device here; choose --device cpu or auto, or install a torch that is made for "
            "the GPU and its driver (https://pytorch.org/get-started)"
        )
    return name


def _has_cuda() -> bool:
    import torch  # takes longer than to decode a picture without it

    return torch.cuda.is_available()


def _has_mps() -> bool:
    import torch

    return torch.backends.mps.is_available()
