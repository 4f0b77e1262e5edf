"""What the codec needs of torch, whatever its caller has set: float32, no autocast, gradients; a CPU or a GPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from vqcodec.device import CUDA

_gpu = threading.Lock()


@contextmanager
def pinned_torch() -> Iterator[None]:
    """Set what the codec needs, and afterwards what was set before.

    The default dtype is the process's, not the thread's: where it is float32, as nearly always, it is not touched.
    """
    before = torch.get_default_dtype()
    with ExitStack() as settings:
        if before != torch.float32:
            torch.set_default_dtype(torch.float32)
            settings.callback(torch.set_default_dtype, before)
        if torch.get_default_device().type != "cpu":
            settings.enter_context(torch.device("cpu"))
        settings.enter_context(torch.autocast("cpu", enabled=False))
        settings.enter_context(torch.inference_mode(False))
        settings.enter_context(torch.enable_grad())
        yield


@contextmanager
def pinned_gpu(device: torch.device) -> Iterator[None]:
    """Set the same for a GPU: no autocast, and all of float32, where TF32 has ten bits of a fraction.

    What CUDA is told is the process's, so one thread at a time is in here; what was set before is set again.
    """
    with _gpu, ExitStack() as settings:
        if torch.amp.is_autocast_available(device.type):
            settings.enter_context(torch.autocast(device.type, enabled=False))
        if device.type == CUDA:
            for place, name, full in _precisions():
                settings.callback(setattr, place, name, getattr(place, name))
                setattr(place, name, full)
        yield


def _precisions() -> list[tuple[Any, str, object]]:
    """Return where torch has the precision of convolutions and products of matrices, and what all of it is called."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    if hasattr(cudnn, "conv"):  # since 2.9; then the older names raise where a caller has used the newer ones
        return [(cudnn.conv, "fp32_precision", "ieee"), (matmul, "fp32_precision", "ieee")]
    return [(cudnn, "allow_tf32", False), (matmul, "allow_tf32", False)]
