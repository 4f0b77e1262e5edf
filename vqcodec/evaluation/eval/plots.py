"""Rate-distortion plots, one per metric: lines labeled at their ends, in colors that everybody can tell apart."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from vqcodec.evaluation.eval.curves import Curve, anchor_curve
from vqcodec.evaluation.metrics import METRICS, Metric

# Okabe and Ito's colors without yellow, which is too pale on white; ours takes the first ones.
OURS = ("#D55E00", "#882255", "#AA4499")
OTHERS = ("#0072B2", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#000000", "#999933", "#44AA99")
PUBLISHED = "#7a7a7a"
MARKERS = "osD^vP*X"
_DASHES = ((0, (6, 2)), (0, (2, 2)), (0, (6, 2, 1, 2)), (0, (1, 1)))
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "svg.hashsalt": "vqc",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
TITLE: Any = {"loc": "left", "fontsize": 11, "pad": 10}
_TICKS = (1.0, 2.0, 5.0)
_TEXT_SHADE = 0.75
_LINE_HEIGHT = 0.046  # of the axes' height


@dataclass(frozen=True)
class Line:
    """One curve as it is drawn: points of bpp and of the metric's axis, and how it looks."""

    label: str
    bpp: tuple[float, ...]
    axis: tuple[float, ...]
    style: dict[str, Any]


def draw(results: dict[str, Any], metric: str, anchors: Sequence[dict[str, Any]]) -> Figure:
    """Return the plot of one metric: codecs as lines with points, published curves dashed and gray."""
    chosen = METRICS[metric]
    lines = _measured(results, chosen)
    limits = _limits(lines)
    lines += _published(anchors, chosen, limits)
    with mpl.rc_context(STYLE):
        figure, axes = log_axes(limits)
        for line in lines:
            axes.plot(line.bpp, line.axis, **line.style)
        axes.set_xlabel("bits per pixel, whole files (logarithmic)")
        count = results["metrics"][metric]["pictures"]
        pictures = "1 picture" if count == 1 else f"mean of {count} pictures"
        axes.set_title(f"{chosen.axis_label}: {pictures} at each quality", **TITLE)
        label_ends(axes, lines)
    return figure


def rendered(figure: Figure, format: str) -> bytes:
    """Return a figure as "png" or "svg"; the same figure gives the same bytes."""
    file = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(file, format=format, dpi=160, metadata={"Date": None} if format == "svg" else {"Software": None})
    return file.getvalue()


def _measured(results: dict[str, Any], metric: Metric) -> list[Line]:
    lines, seen = [], {True: 0, False: 0}
    for name, curve in results["curves"][metric.name].items():
        ours = results["codecs"][name]["settings"]["format"] == "VQC"
        number, colors = seen[ours], OURS if ours else OTHERS
        seen[ours] += 1
        style = {
            "color": colors[number % len(colors)],
            "marker": MARKERS[(number if ours else number + 1) % len(MARKERS)],
            "linewidth": 2.6 if ours else 1.5,
            "markersize": 5.5 if ours else 4,
            "zorder": 4 if ours else 3,
        }
        lines.append(Line(curve["label"], tuple(curve["bpp"]), tuple(map(metric.on_axis, curve["values"])), style))
    return lines


def _published(anchors: Sequence[dict[str, Any]], metric: Metric, limits: tuple[float, float]) -> list[Line]:
    lines = []
    for number, anchor in enumerate(anchors):
        curve = _clipped(anchor_curve(anchor, metric.name), limits)
        if curve is None:
            continue
        style = {"color": PUBLISHED, "linewidth": 1.3, "linestyle": _DASHES[number % len(_DASHES)], "zorder": 2}
        label = f"{anchor['name']}*"
        lines.append(Line(label, curve.bpp, tuple(map(metric.on_axis, curve.values)), style))
    return lines


def _clipped(curve: Curve | None, limits: tuple[float, float]) -> Curve | None:
    """Return the points of a published curve that fall within what was measured."""
    if curve is None:
        return None
    points = [(x, y) for x, y in zip(curve.bpp, curve.values, strict=True) if limits[0] <= x <= limits[1]]
    return Curve(curve.label, tuple(p[0] for p in points), tuple(p[1] for p in points)) if points else None


def _limits(lines: Sequence[Line]) -> tuple[float, float]:
    rates = [rate for line in lines for rate in line.bpp]
    return 0.9 * min(rates), 1.1 * max(rates)


def log_axes(limits: tuple[float, float]) -> tuple[Figure, Axes]:
    """Return a figure with axes whose x is logarithmic, and with room for labels to their right."""
    figure = Figure(figsize=(8.6, 5.2))
    axes = figure.add_axes((0.085, 0.105, 0.665, 0.80))
    axes.set_xscale("log")
    axes.set_xlim(*limits)
    axes.xaxis.set_major_locator(LogLocator(subs=_TICKS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(True, color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    return figure, axes


def label_ends(axes: Axes, lines: Sequence[Line]) -> None:
    """Write every line's name to the right of the axes, as near to the height of its end as there is room."""
    axes.autoscale_view(scalex=False)  # else the range of y is known only when the figure is drawn
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [to_axes.transform((line.bpp[-1], line.axis[-1])) for line in lines]
    order = sorted(range(len(lines)), key=lambda i: ends[i][1])
    heights = _spread([float(ends[i][1]) for i in order])
    for i, height in zip(order, heights, strict=True):
        line, (x, y) = lines[i], ends[i]
        color = line.style["color"]
        dark = tuple(_TEXT_SHADE * part for part in to_rgb(color))  # pale colors can be seen as lines, not as letters
        axes.plot(
            (x, 1.02, 1.035), (y, height, height), transform=axes.transAxes, color=color, linewidth=0.6, clip_on=False,
            alpha=0.6, zorder=1,
        )  # fmt: skip
        weight = "bold" if line.style["linewidth"] > 2 else "normal"
        axes.text(
            1.045, height, line.label, transform=axes.transAxes, color=dark, va="center", fontsize=9.5, weight=weight
        )


def _spread(heights: list[float]) -> list[float]:
    """Return rising heights at least a line apart, moved as a group where they would meet."""
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _bottom(groups[-1]) < _bottom(groups[-2]) + _LINE_HEIGHT * len(groups[-2]):
            last = groups.pop()
            groups[-1] += last
    return [_bottom(group) + _LINE_HEIGHT * i for group in groups for i in range(len(group))]


def _bottom(group: list[float]) -> float:
    """Return the height of a group's lowest label: the group's middle is where they would like to be, but inside."""
    return max(0.0, sum(group) / len(group) - _LINE_HEIGHT * (len(group) - 1) / 2)
