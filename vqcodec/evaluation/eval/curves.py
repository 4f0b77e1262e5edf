"""Rate-distortion curves: means at one quality setting, BD-rates between them, published ones.

A curve is averaged over pictures at one setting of a codec, never at one rate: that would mix
settings, and the two ways differ by up to 18 % of BD-rate for one and the same encoder.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from statistics import mean
from typing import Any

from vqcodec.errors import SettingsError
from vqcodec.evaluation.metrics import METRICS, Metric

Row = dict[str, Any]
# What published curves call the metrics that they have.
_PUBLISHED_KEYS = {"psnr": "psnr_rgb", "ms-ssim": "ms_ssim"}
_DEFAULT_DATASET = "kodak"


@dataclass(frozen=True)
class Curve:
    """Points of rising bits per pixel; `values` are a metric's, `qualities` the settings if they are known."""

    label: str
    bpp: tuple[float, ...]
    values: tuple[float, ...]
    qualities: tuple[float, ...] = ()


@dataclass(frozen=True)
class BdRate:
    """A mean difference of rate in percent, and the range of the metric's axis in which it was taken."""

    percent: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.percent:+.1f} % ({self.low:.1f} to {self.high:.1f})"


def mean_curve(rows: Iterable[Row], metric: str, label: str) -> Curve:
    """Return the curve of one codec's rows: per quality, the mean bpp and the mean of a metric.

    Pictures too small for the metric count in neither mean. A quality that lacks a picture which
    another quality has is left out, because its mean would be of other pictures.
    """
    groups: dict[float, dict[str, Row]] = {}
    for row in rows:
        if row["metrics"].get(metric) is not None:
            groups.setdefault(row["quality"], {})[row["picture"]] = row
    everything = set().union(*groups.values()) if groups else set()
    points = sorted(
        (mean(row["bpp"] for row in group.values()), mean(row["metrics"][metric] for row in group.values()), quality)
        for quality, group in groups.items()
        if set(group) == everything
    )
    bpp, values, qualities = zip(*points, strict=True) if points else ((), (), ())
    return Curve(label, bpp, values, qualities)


def bd_rate(anchor: Curve, test: Curve, metric: str, between: tuple[float, float] | None = None) -> BdRate | None:
    """Return how many percent more bits `test` takes than `anchor` for the same quality, negative for fewer.

    PCHIP of the logarithm of the rate over the metric's axis, on the range that both cover, or the
    part of it inside `between`. None where there is no such range or a curve has one point.
    """
    from bjontegaard import bd_rate as compute

    a, b = (_rising(curve, METRICS[metric]) for curve in (anchor, test))
    if min(len(a), len(b)) < 2:
        return None
    low, high = max(a[0][1], b[0][1]), min(a[-1][1], b[-1][1])
    if between is not None:
        low, high = max(low, between[0]), min(high, between[1])
    if low >= high:
        return None
    (rate_a, axis_a), (rate_b, axis_b) = (tuple(zip(*points, strict=True)) for points in (a, b))
    percent, f_a, f_b = compute(
        rate_a, axis_a, rate_b, axis_b, method="pchip", require_matching_points=False, min_overlap=0, interpolators=True
    )
    if between is not None:
        percent = 100 * (10 ** ((f_b.integrate(low, high) - f_a.integrate(low, high)) / (high - low)) - 1)
    return BdRate(float(percent), low, high)


def anchor_names() -> list[str]:
    """Return the names of all published curves; those not of Kodak begin with their data set's name and a slash."""
    return [_full_name(dataset, name) for dataset, file in _anchor_files().items() for name in file["curves"]]


def load_anchor(name: str) -> dict[str, Any]:
    """Return a published curve with its data set and source; SettingsError for a name that is not known."""
    for dataset, file in _anchor_files().items():
        for key, curve in file["curves"].items():
            if _full_name(dataset, key) == name:
                return {"id": name, "dataset": file["dataset"], **curve}
    raise SettingsError(f"there is no published curve {name!r}; choose from {', '.join(anchor_names())}")


def anchor_curve(anchor: dict[str, Any], metric: str) -> Curve | None:
    """Return the curve of a published codec for a metric, or None where its source has none."""
    values: Sequence[float] | None = anchor.get(_PUBLISHED_KEYS.get(metric, ""))
    if values is None:
        return None
    points = sorted((bpp, value) for bpp, value in zip(anchor["bpp"], values, strict=True) if value is not None)
    return Curve(anchor["name"], tuple(p[0] for p in points), tuple(p[1] for p in points))


def _rising(curve: Curve, metric: Metric) -> list[tuple[float, float]]:
    """Return (bpp, axis) where both rise: a point that costs more than another and is no better is left out."""
    points: list[tuple[float, float]] = []
    for bpp, value in sorted(zip(curve.bpp, map(metric.on_axis, curve.values), strict=True)):
        if not points or value > points[-1][1]:
            points.append((bpp, value))
    return points


def _full_name(dataset: str, name: str) -> str:
    return name if dataset.startswith(_DEFAULT_DATASET) else f"{dataset}/{name}"


@functools.cache
def _anchor_files() -> dict[str, dict[str, Any]]:
    folder = resources.files("vqcodec.evaluation.eval") / "anchors"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name)
    read = {file.name.removesuffix(".json"): json.loads(file.read_text(encoding="utf-8")) for file in files}
    return dict(sorted(read.items(), key=lambda item: item[0] != _DEFAULT_DATASET))
