"""One rate-distortion plot per data set: bytes of real files against PSNR, with what lossless formats take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vqcodec.evaluation.eval.plots import MARKERS, OTHERS, OURS, STYLE, TITLE, Line, label_ends, log_axes
from vqcodec.reproduction.lossless import FORMATS
from vqcodec.reproduction.paper_tables import QUICK
from vqcodec.reproduction.results import Values
from vqcodec.reproduction.runs import Run

_NAMES = {
    "vq": "VQ-VAE",
    "cvq": "CVQ-VAE",
    "hvq": "VQ with reset",
    "hqa": "HVQ-VAE",
    "regvq": "Reg-VQ",
    "vqwae": "VQ-WAE",
    "vqct": "VQCT",
    "restart": "Random restarts",
    "sq": "SQ-VAE",
    "pq": "PQ",
    "rq": "RQ",
    "fsq": "FSQ",
    "lfq": "LFQ",
    "looc": "LooC",
    "dual": "Dual",
    "gumbel": "Gumbel",
    "simvq": "SimVQ",
    "rotation": "Rotation trick",
}
_MODES = {"all": "all", "conditional": "cond.", "smooth": "smooth"}
_LEAST_RANGE_DB = 1.0
_LABEL_POINTS = 7
_LOSSLESS_COLOR = "#555555"


def draw(dataset: str, found: Iterable[tuple[Run, Values]], lossless: Values | None) -> Figure:
    """Return the plot of runs with what was measured of each: one color and label for each way to quantize."""
    points = sorted(((run, values["measured"]) for run, values in found), key=lambda point: point[1]["bytes"])
    others = {} if lossless is None else lossless["bytes"]
    rates = [measured["bytes"] for _, measured in points] + list(others.values())
    with mpl.rc_context(STYLE):
        figure, axes = log_axes((0.85 * min(rates), 1.6 * max(rates)))
        lines = _lines(points)
        for line in lines:
            axes.plot(line.bpp, line.axis, **line.style)
        _widen(axes)
        _sizes(axes, points)
        for kind in FORMATS:
            if kind.name in others:
                _vertical(axes, others[kind.name], kind.label)
        axes.set_xlabel("bytes per picture, whole files (logarithmic)")
        axes.set_title(f"{dataset}: PSNR (dB) of {points[0][1]['pictures']:,} test pictures", **TITLE)
        label_ends(axes, lines)
    return figure


def _widen(axes: Axes) -> None:
    """Let the range of PSNR be a decibel at least: less looks like more than it is."""
    low, high = axes.get_ylim()
    missing = max(0.0, _LEAST_RANGE_DB - (high - low))
    axes.set_ylim(low - missing / 2, high + missing / 2)


def _lines(points: list[tuple[Run, Values]]) -> list[Line]:
    groups: dict[str, list[Values]] = {}
    for run, measured in points:
        groups.setdefault(_group(run), []).append(measured)
    lines, seen = [], {True: 0, False: 0}
    for label, members in groups.items():
        ours = label.startswith(f"{_NAMES['looc']},")
        number, colors = seen[ours], OURS if ours else OTHERS
        seen[ours] += 1
        style = {
            "color": colors[number % len(colors)],
            "marker": MARKERS[(number + number // len(colors)) % len(MARKERS)],
            "linestyle": "none",
            "linewidth": 2.6 if ours else 1.5,
            "markersize": 6 if ours else 5,
            "zorder": 4 if ours else 3,
        }
        rates = tuple(measured["bytes"] for measured in members)
        lines.append(Line(label, rates, tuple(measured["lossless"]["psnr_db"] for measured in members), style))
    return lines


def _group(run: Run) -> str:
    settings = run.settings
    name = settings.quantizer_settings().name
    name = _NAMES.get(name, name)
    if settings.beta > 1:
        name += f" β {_MODES[settings.mode]}"
    if settings.subpixel > 1:
        name += f" β {settings.subpixel}"
    if settings.losses:
        name += f" + {' + '.join(settings.losses)}"
    if settings.adversarial:
        name += " + discriminator"
    released = " as released" if max(settings.subpixel, settings.rows) > 1 else ""
    return f"{name}{released}, {_training(run)}"


def _training(run: Run) -> str:
    return "quick" if run.settings.schedule == QUICK["schedule"] else run.settings.match


def _sizes(axes: Axes, points: list[tuple[Run, Values]]) -> None:
    """Write beside points what tells them from others of their group, size, beta, or both, where there is room."""
    groups: dict[str, list[Run]] = {}
    for run, _ in points:
        groups.setdefault(_group(run), []).append(run)
    style: dict[str, Any] = {"textcoords": "offset points", "fontsize": _LABEL_POINTS, "color": "#444444"}
    taken: list[_Label] = []
    for run, measured in points:
        text, point = _difference(run, groups[_group(run)]), (measured["bytes"], measured["lossless"]["psnr_db"])
        if text and (place := _free(axes, point, text, taken)):
            axes.annotate(text, point, xytext=place, **style)


class _Label(NamedTuple):
    """The left, lower and right edge of a line of text, in points of the figure."""

    left: float
    lower: float
    right: float

    def meets(self, other: _Label) -> bool:
        """Return whether the two lie on one another."""
        apart = self.left > other.right or self.right < other.left
        return not apart and abs(self.lower - other.lower) <= _LABEL_POINTS


def _free(axes: Axes, point: tuple[float, float], text: str, taken: list[_Label]) -> tuple[int, int] | None:
    """Return how far beside a point, in points, a label lies on none of those that are there; None where none is free.

    What it takes is added to these.
    """
    x, y = axes.transData.transform(point) * (72 / axes.figure.dpi)
    width = round(0.6 * _LABEL_POINTS * len(text))
    for right, up in ((5, -3), (5, -11), (-5 - width, -3), (-5 - width, 5), (-width // 2, 7)):
        label = _Label(x + right, y + up, x + right + width)
        if not any(label.meets(other) for other in taken):
            taken.append(label)
            return right, up
    return None


def _difference(run: Run, group: list[Run]) -> str:
    size = [run.size] if len({other.size for other in group}) > 1 else []
    beta = [f"β {run.settings.beta}"] if len({other.settings.beta for other in group}) > 1 else []
    return ", ".join(size + beta)


def _vertical(axes: Axes, rate: float, label: str) -> None:
    axes.axvline(rate, color=_LOSSLESS_COLOR, linewidth=1.2, linestyle="--", zorder=2)
    place: Any = {"transform": axes.get_xaxis_transform(), "rotation": 90, "va": "bottom", "ha": "right"}
    axes.text(rate, 0.02, label, fontsize=8.5, color=_LOSSLESS_COLOR, **place)
