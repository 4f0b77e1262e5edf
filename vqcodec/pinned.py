"""What the codec needs of torch, whatever its caller has set: float32 on the CPU, no autocast, gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


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
def full_precision() -> Iterator[None]:
    """Let convolutions of CUDA take all of float32; TF32 has ten bits of a fraction, which can move a pixel's level.

    The setting is the process's; what was set before is set again.
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
