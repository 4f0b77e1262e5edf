"""The plots of an analysis, each as PNG and SVG. matplotlib comes with the extra `eval`."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vqcodec.errors import SettingsError

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

Values = dict[str, Any]

_ACCENT, _SECOND, _QUIET, _UNUSED, _EDGE = "#0b6b74", "#c2571a", "#7b858e", "#c0392b", "#3a4148"
_STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _QUIET,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "svg.hashsalt": "vqc",
}
_STORAGE_LABELS = {
    "paper": "as the paper counts: h w m log2 K",
    "decoder": "as a decoder needs: times beta^2",
    "fixed": "every stored index, log2 K each",
    "entropy": "under the model's tables",
    "file": "the files",
}
# The share of codevectors that a closer view of the codebook shows.
_MIDDLE_SHARE = 0.85


@dataclass(frozen=True)
class Plot:
    """One plot: its name, a title, a sentence that says what it shows, and its files by name."""

    name: str
    title: str
    text: str
    files: dict[str, bytes]


def require() -> None:
    """Raise SettingsError where matplotlib is not installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "this needs matplotlib, which is not installed; run: pip install 'vqcodec[eval]'"
        ) from error


def draw(values: Values) -> list[Plot]:
    """Return all plots of an analysis' values."""
    require()
    return [
        _plot("codebook", "The codebook", _codebook_text(values), values, _codebook, (8, 4)),
        _plot("ranks", "Codevectors by use", _ranks_text(values), values, _ranks),
        _plot("unit_usage", "Usage of each unit", _units_text(values), values, _unit_usage),
        _plot("sharing", "Sharing between units", _sharing_text(values), values, _sharing),
        _plot("entropy", "Entropy of the indices", _entropy_text(values), values, _entropy),
        _plot("storage", "Storage", "Bits per pixel of the indices, over all pictures.", values, _storage, (8, 3)),
    ]


def _plot(
    name: str,
    title: str,
    text: str,
    values: Values,
    paint: Callable[[Figure, Values], None],
    size: tuple[float, float] = (8, 3.4),
) -> Plot:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure, values)
        files = {f"{name}.{kind}": _save(figure, kind) for kind in ("png", "svg")}
    return Plot(name, title, text, files)


def _save(figure: Any, kind: str) -> bytes:
    stream = io.BytesIO()
    # Without a date the same analysis gives the same bytes.
    figure.savefig(stream, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    return stream.getvalue()


def _codebook(figure: Figure, values: Values) -> None:
    """LooC's Figure 5: every codevector where it lies, its area and color its use; unused ones crossed.

    Where a few far codevectors squeeze the others together, the middle is drawn once more.
    """
    points = np.array(values["codebook"]["points"])
    counts = np.array(values["codebook"]["counts"], dtype=float)
    radius = np.abs(points - np.median(points, axis=0)).max(axis=1)
    middle = 1.1 * np.quantile(radius, _MIDDLE_SHARE)
    views = [None, middle] if middle < 0.6 * radius.max() else [None]
    panels = figure.subplots(1, len(views), squeeze=False)[0]
    for axes, half in zip(panels, views, strict=True):
        drawn = _scatter(axes, points, counts)
        axes.set_aspect("equal", adjustable="datalim" if half is None else "box")
        if half is not None:
            x, y = np.median(points, axis=0)
            axes.set(xlim=(x - half, x + half), ylim=(y - half, y + half), title="the middle")
    bar = figure.colorbar(drawn, ax=panels, shrink=0.8)
    bar.set_label("log2 of its share of all indices")
    bar.outline.set_visible(False)
    if (counts == 0).any():
        panels[0].legend(loc="lower left", bbox_to_anchor=(0, 1), borderpad=0)


def _scatter(axes: Axes, points: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]) -> PathCollection:
    used = counts > 0
    share = counts[used] / counts.sum()
    area = 22 + 120 * np.sqrt(share / share.max())
    x, y = points.T
    axes.scatter(x[~used], y[~used], s=20, marker="x", c=_UNUSED, linewidths=1, label=f"{(~used).sum()} unused")
    return axes.scatter(
        x[used], y[used], s=area, c=np.log2(share), cmap="viridis", alpha=0.9, edgecolors=_EDGE, linewidths=0.5
    )


def _codebook_text(values: Values) -> str:
    codebook, d_star = values["codebook"], values["model"]["quantizer"]["d_star"]
    how = "as they are"
    if d_star > 2:
        how = f"by two principal components, which show {codebook['variance_shown']:.0%} of their variance"
    dimensions = "dimension" if d_star == 1 else "dimensions"
    return (
        f"LooC, Figure 5: {len(codebook['points'])} codevectors of {d_star} {dimensions}, drawn {how}; "
        "size and color show use."
    )


def _ranks(figure: Figure, values: Values) -> None:
    axes = figure.subplots()
    counts = np.sort(np.array(values["codebook"]["counts"], dtype=float))[::-1]
    share = counts / counts.sum()
    axes.plot(np.arange(1, len(share) + 1), np.where(share > 0, share, np.nan), color=_ACCENT)
    axes.axhline(1 / len(share), color=_QUIET, linestyle="--", linewidth=1, label="uniform: 1 / K")
    axes.set(xlabel="codevectors, the most used first", ylabel="share of all indices", yscale="log")
    axes.set_xlim(1, len(share))
    axes.legend(loc="upper right")


def _ranks_text(values: Values) -> str:
    codebook = values["codebook"]
    return (
        f"{codebook['used']} of {len(codebook['counts'])} codevectors are used ({codebook['usage']:.1%}); the "
        f"perplexity is {codebook['perplexity']:.1f}. The more uneven the use, the more entropy coding saves."
    )


def _unit_usage(figure: Figure, values: Values) -> None:
    """LooC's Figure 7."""
    axes = figure.subplots()
    usage = [100 * unit["usage"] for unit in values["units"]]
    axes.bar(range(len(usage)), usage, width=0.9, color=_ACCENT)
    axes.axhline(100 * values["codebook"]["usage"], color=_SECOND, linewidth=1, label="all units together")
    axes.set(xlabel="unit", ylabel="codevectors used, %", ylim=(0, 105))
    axes.set_xlim(-0.7, len(usage) - 0.3)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)


def _units_text(values: Values) -> str:
    usage = [unit["usage"] for unit in values["units"]]
    return (
        f"LooC, Figure 7: the share of the codebook that each of {len(usage)} units uses, from {min(usage):.1%} "
        f"to {max(usage):.1%}; {sum(u >= 0.9 for u in usage)} units use 90 % or more."
    )


def _sharing(figure: Figure, values: Values) -> None:
    """LooC's Figure 8."""
    axes = figure.subplots()
    at_least = [100 * share for share in values["sharing"]["share_used_by_at_least"]]
    axes.fill_between(range(1, len(at_least) + 1), at_least, color=_ACCENT, alpha=0.15, linewidth=0)
    axes.plot(range(1, len(at_least) + 1), at_least, color=_ACCENT, marker="o" if len(at_least) < 40 else "")
    axes.set(xlabel="at least n units", ylabel="codevectors that they share, %", ylim=(0, 105))
    axes.set_xlim(1, max(2, len(at_least)))


def _sharing_text(values: Values) -> str:
    used_by = values["sharing"]["units_per_codevector"]
    return (
        f"LooC, Figure 8: the share of codevectors that at least n units use. A codevector is used by {min(used_by)} "
        f"to {max(used_by)} of {len(values['units'])} units, half of them by {int(np.median(used_by))} or more."
    )


def _entropy(figure: Figure, values: Values) -> None:
    axes = figure.subplots()
    fixed = values["codebook"]["fixed_bits"]
    axes.axhline(fixed, color=_QUIET, linestyle="--", linewidth=1, label=f"fixed length: log2 K = {fixed:g}")
    for stage, color in (("fine", _ACCENT), ("coarse", _SECOND)):
        planes = [plane for plane in values["planes"] if plane["stage"] == stage]
        if planes:
            units = [plane["unit"] for plane in planes]
            axes.plot(units, [p["entropy_bits"] for p in planes], color=color, label=f"{stage}: entropy")
            tables = [p["table_bits"] for p in planes]
            axes.plot(units, tables, color=color, linestyle=":", label=f"{stage}: under the model's tables")
    axes.set(xlabel="unit", ylabel="bits per index")
    axes.set_ylim(0, None)
    axes.legend(fontsize=9, loc="lower left", ncols=3, bbox_to_anchor=(0, 1), borderaxespad=0)


def _entropy_text(values: Values) -> str:
    fixed = values["codebook"]["fixed_bits"]
    planes = values["planes"]
    total = sum(plane["indices"] for plane in planes)
    mean = sum(plane["entropy_bits"] * plane["indices"] for plane in planes) / total
    tables = sum(plane["table_bits"] * plane["indices"] for plane in planes) / total
    return (
        f"An index costs {fixed:g} bits at fixed length, {mean:.2f} by the entropy of its plane on these pictures, and "
        f"{tables:.2f} under the model's tables, which also know the class of each position."
    )


def _storage(figure: Figure, values: Values) -> None:
    axes = figure.subplots()
    bpp = values["storage"]["bpp"]
    keys = list(_STORAGE_LABELS)[::-1]
    bars = axes.barh(
        [_STORAGE_LABELS[key] for key in keys],
        [bpp[key] for key in keys],
        color=[_SECOND if key == "file" else _ACCENT for key in keys],
        height=0.66,
    )
    axes.bar_label(bars, [f"{bpp[key]:.3f}" for key in keys], padding=4)
    axes.set_xlim(0, 1.12 * max(bpp[key] for key in keys))
    axes.set_xlabel("bits per pixel")
