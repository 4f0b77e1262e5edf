"""Metrics that are networks: LPIPS, DISTS and rFID, where torchvision and their weights are here.

torchmetrics fetches the weights when a metric is made. Each loader raises where that fails.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Pixels = npt.NDArray[np.uint8]
Function = Callable[[Pixels, Pixels], float]
SET_METRICS = ("rfid",)
"""Metrics of a whole set of pictures instead of one."""


def load_lpips() -> Function:
    """Return LPIPS with AlexNet."""
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    return _tried(of_units(LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)))


def load_dists() -> Function:
    """Return DISTS."""
    from torchmetrics.image.dists import DeepImageStructureAndTextureSimilarity

    return _tried(of_units(DeepImageStructureAndTextureSimilarity()))


def load_rfid() -> Function:
    """Check that rFID can be computed; a pair of pictures has none, `rfid` takes a set."""
    make_fid()
    return lambda original, copy: float("nan")


@functools.cache
def make_fid() -> Any:
    """Return torchmetrics' Fréchet distance with Inception's 2048 features."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    return FrechetInceptionDistance(feature=2048)


@torch.inference_mode()
def rfid(pairs: Iterable[tuple[Pixels, Pixels]], fid: Any = None) -> float | None:
    """Return the Fréchet distance of originals and their copies; None for fewer than two pairs."""
    fid, count = make_fid() if fid is None else fid, 0
    fid.reset()
    for original, copy in pairs:
        fid.update(batch(original), real=True)
        fid.update(batch(copy), real=False)
        count += 1
    return float(fid.compute()) if count > 1 else None


def reason(error: BaseException) -> str:
    """Return one line on why a metric cannot be used."""
    if isinstance(error, ModuleNotFoundError):
        text = str(error).lower()
        needed = next((name for name in ("torchvision", "torch-fidelity") if name in text.replace("_", "-")), None)
        if needed:
            return f"it needs {needed}; pip install 'vqcodec[perceptual]'"
        return f"it needs {error.name}; pip install 'vqcodec[eval]'"
    return (str(error).splitlines() or [type(error).__name__])[0]


def _tried(function: Function) -> Function:
    """Return a function that has worked once: some weights are fetched only then."""
    black = np.zeros((64, 64, 3), np.uint8)
    function(black, black)
    return function


def of_units(metric: Any) -> Function:
    """Return a function of uint8 pictures for a metric that takes two batches in 0..1."""

    @torch.inference_mode()
    def function(original: Pixels, copy: Pixels) -> float:
        return float(metric(batch(copy) / 255.0, batch(original) / 255.0))

    return function


def batch(pixels: Pixels) -> torch.Tensor:
    """Return uint8 [1, 3, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
