"""A comparison as one HTML page with the pictures inside it: divider, zoom, pan, keys, sizes and metrics."""

from __future__ import annotations

from typing import Any

from vqcodec.evaluation import pages
from vqcodec.evaluation.compare.run import Comparison, Shown
from vqcodec.evaluation.metrics import Metric
from vqcodec.image import Picture

AMPLIFIED = 8
"""How many times the difference of two pictures is shown, so that it is seen."""
NEAR = 0.02
"""What share of the target a file may lack without a word beside its picture."""


def render(comparison: Comparison) -> str:
    """Return the page."""
    height, width = comparison.picture.pixels.shape[:2]
    return pages.render(
        "compare.html",
        name=comparison.name,
        size=f"{width} × {height} pixels",
        width=width,
        height=height,
        amplified=AMPLIFIED,
        target_bytes=f"{comparison.limit:,}",
        target_bpp=f"{comparison.bpp(comparison.limit):.3g}",
        original=pages.picture_uri(comparison.picture),
        columns=[
            "codec",
            "quality",
            "bytes",
            "bits per pixel",
            "of the target",
            *(m.label for m in comparison.metrics),
        ],
        original_row=_original_row(comparison),
        codecs=[_codec(shown, comparison) for shown in comparison.shown],
        notes=comparison.notes,
    )


def facts(shown: Shown, comparison: Comparison) -> str:
    """Return a codec's size, how far it misses the target, and first metric as people read them."""
    words = [f"{shown.bytes:,} bytes", f"{comparison.bpp(shown.bytes):.3f} bpp"]
    share = shown.bytes / comparison.limit
    if share < 1 - NEAR:
        words[1] += f" ({share:.0%} of the target)"
    for metric in comparison.metrics[:1]:
        name, unit, _ = metric.label.partition(" (dB)")
        words.append(f"{name} {_value(metric, shown)}{' dB' if unit else ''}")
    return ", ".join(words)


def _codec(shown: Shown, comparison: Comparison) -> dict[str, Any]:
    """Return what the page says of a codec."""
    sizes = [f"{shown.bytes:,}", f"{comparison.bpp(shown.bytes):.3f}", f"{shown.bytes / comparison.limit:.1%}"]
    values = [_value(metric, shown) for metric in comparison.metrics]
    return {
        "label": shown.label,
        "facts": facts(shown, comparison),
        # The codecs are given pixels alone; with the original's profile they are seen in its colors.
        "source": pages.picture_uri(Picture(shown.pixels, comparison.picture.icc)),
        "row": [shown.label, f"{shown.quality:g}", *sizes, *values],
    }


def _original_row(comparison: Comparison) -> list[str]:
    size = comparison.file_bytes
    return ["Original", "", f"{size:,}", f"{comparison.bpp(size):.3f}", "", *("" for _ in comparison.metrics)]


def _value(metric: Metric, shown: Shown) -> str:
    value = shown.metrics[metric.name]
    if value is None:
        return "too small"
    return f"{value:.4f}" if metric.axis == "db" else f"{value:.2f}"
