"""The papers' figures again: what more codevectors bring, and how a codebook learns; one plot a table and data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vqcodec.evaluation.eval.plots import MARKERS, OTHERS, OURS, STYLE, TITLE
from vqcodec.reproduction.results import Values, budget, budget_text
from vqcodec.reproduction.runs import Entry

_PANEL_INCHES, _HEIGHT_INCHES = 3.4, 3.6
_LEAST_POINTS = 2


class Curve(NamedTuple):
    """What is drawn of one method: places along the horizontal axis, and a value there for each panel's name."""

    label: str
    x: tuple[float, ...]
    panels: Mapping[str, tuple[float, ...]]


def draw(table: str, kind: str, chosen: Sequence[Entry], found: Mapping[str, Values]) -> Figure | None:
    """Return the figure of one of KINDS for rows of a table on a data set; None where too little was measured."""
    measured = [(entry, found[entry.run.name]) for entry in chosen if entry.run and entry.run.name in found]
    curves = _BY_KIND[kind](measured)
    if not curves:
        return None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(_PANEL_INCHES * len(curves[0].panels), _HEIGHT_INCHES), layout="constrained")
        panels = figure.subplots(1, len(curves[0].panels))
        for axes, name in zip(panels, curves[0].panels, strict=True):
            _panel(axes, name, kind, curves)
        panels[0].legend(fontsize=7, frameon=False)
        figure.suptitle(f"{table} on {chosen[0].dataset}", x=0.01, ha="left", fontsize=TITLE["fontsize"])
    return figure


def _panel(axes: Axes, name: str, kind: str, curves: Sequence[Curve]) -> None:
    colors = (*OURS, *OTHERS)
    for number, curve in enumerate(curves):
        style: dict[str, Any] = {"color": colors[number % len(colors)], "linewidth": 1.5, "markersize": 4}
        marker = MARKERS[number % len(MARKERS)] if kind == "codevectors" else ""
        axes.plot(curve.x, curve.panels[name], label=curve.label, marker=marker, **style)
    if kind == "codevectors":
        axes.set_xscale("log", base=2)
    axes.set_title(name, loc="left", fontsize=9)
    axes.set_xlabel("codevectors K" if kind == "codevectors" else "epochs", fontsize=9)


def _by_codevectors(measured: Sequence[tuple[Entry, Values]]) -> list[Curve]:
    """Return a curve over K for each label, d* and variant that has several K of one budget."""
    groups: dict[tuple[str, tuple[int, float]], dict[int, Values]] = {}
    for entry, values in measured:
        assert entry.run is not None
        quantizer = entry.run.settings.quantizer_settings()
        label = f"{entry.row.label}, d* = {quantizer.d_star}" + (f", {entry.row.variant}" if entry.row.variant else "")
        groups.setdefault((label, budget(values)), {})[quantizer.K] = values["measured"]
    groups = {group: by_size for group, by_size in groups.items() if len(by_size) >= _LEAST_POINTS}
    budgets, curves = Counter(label for label, _ in groups), []
    for (label, had), by_size in groups.items():
        points = [by_size[K] for K in sorted(by_size)]
        panels = {
            "PSNR (dB)": tuple(point["lossless"]["psnr_db"] for point in points),
            "SSIM, papers' way": tuple(point["papers"]["ssim"] for point in points),
            "perplexity": tuple(point["perplexity"] for point in points),
        }
        named = f"{label}, {budget_text(*had)}" if budgets[label] > 1 else label
        curves.append(Curve(named, tuple(sorted(by_size)), panels))
    return curves


def _by_training(measured: Sequence[tuple[Entry, Values]]) -> list[Curve]:
    """Return a curve over the epochs of each run whose training is known; runs of before that was kept have none."""
    curves = []
    for entry, values in measured:
        log = values.get("log", {"step": ()})
        if len(log["step"]) < _LEAST_POINTS:
            continue
        epochs = tuple(step * values["epochs"] / values["steps"] for step in log["step"])
        panels = {
            "usage": tuple(log["usage"]),
            "perplexity": tuple(log["perplexity"]),
            "PSNR of training pictures (dB)": tuple(log["psnr_db"]),
        }
        curves.append(Curve(entry.row.method, epochs, panels))
    return curves


_BY_KIND = MappingProxyType({"codevectors": _by_codevectors, "training": _by_training})
