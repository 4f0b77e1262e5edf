"""A comparison as one HTML page with the pictures inside it: divider, zoom, pan, keys, sizes and metrics."""

from __future__ import annotations

from vqcodec.evaluation import pages as page
from vqcodec.evaluation.compare.run import Comparison, Shown
from vqcodec.evaluation.metrics import Metric
from vqcodec.image import Picture


def render(comparison: Comparison) -> str:
    """Return the page."""
    height, width = comparison.picture.pixels.shape[:2]
    numbers = range(len(comparison.shown))
    columns = ["codec", "quality", "bytes", "bits per pixel", "of the target", *(m.label for m in comparison.metrics)]
    return page.render(
        "compare.html",
        {
            "style": page.template("base.css") + page.template("compare.css"),
            "script": page.template("compare.js"),
            "name": page.text(comparison.name),
            "size": f"{width} × {height} pixels",
            "width": str(width),
            "height": str(height),
            "target_bytes": f"{comparison.limit:,}",
            "target_bpp": f"{comparison.bpp(comparison.limit):.3g}",
            "original": page.picture_uri(comparison.picture),
            "buttons": "\n".join(_button(i, comparison) for i in numbers),
            "images": "\n".join(_image(shown, comparison) for shown in comparison.shown),
            "head": page.table_head(columns),
            "rows": "\n".join([_original_row(comparison), *(_row(i, comparison) for i in numbers)]),
            "notes": page.notes(comparison.notes),
        },
    )


def facts(shown: Shown, comparison: Comparison) -> str:
    """Return a codec's size and first metric as people read them."""
    words = [f"{shown.bytes:,} bytes", f"{comparison.bpp(shown.bytes):.3f} bpp"]
    for metric in comparison.metrics[:1]:
        name, unit, _ = metric.label.partition(" (dB)")
        words.append(f"{name} {_value(metric, shown)}{' dB' if unit else ''}")
    return ", ".join(words)


def _button(number: int, comparison: Comparison) -> str:
    shown = comparison.shown[number]
    words = page.text(facts(shown, comparison))
    return (
        f'<button type="button" data-codec="{number}" data-facts="{words}" aria-pressed="false">'
        f"{page.text(shown.label)}</button>"
    )


def _image(shown: Shown, comparison: Comparison) -> str:
    # The codecs are given pixels alone; with the original's profile they are seen in its colors.
    source = page.picture_uri(Picture(shown.pixels, comparison.picture.icc))
    return f'<img alt="{page.text(shown.label)}" src="{source}" decoding="sync" draggable="false" hidden>'


def _original_row(comparison: Comparison) -> str:
    size = comparison.file_bytes
    cells = ["Original", "", f"{size:,}", f"{comparison.bpp(size):.3f}", "", *("" for _ in comparison.metrics)]
    return page.table_row(cells, 'class="fixed"')


def _row(number: int, comparison: Comparison) -> str:
    shown = comparison.shown[number]
    sizes = [f"{shown.bytes:,}", f"{comparison.bpp(shown.bytes):.3f}", f"{shown.bytes / comparison.limit:.1%}"]
    values = [_value(metric, shown) for metric in comparison.metrics]
    return page.table_row([shown.label, f"{shown.quality:g}", *sizes, *values], f'data-codec="{number}"')


def _value(metric: Metric, shown: Shown) -> str:
    value = shown.metrics[metric.name]
    if value is None:
        return "too small"
    return f"{value:.4f}" if metric.axis == "db" else f"{value:.2f}"
