"""report.html: all results of an evaluation on one page that needs no other file and no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vqcodec.evaluation import pages

Results = dict[str, Any]
Row = dict[str, Any]
_SOURCE_KEYS = ("repository", "path", "commit")


def render(results: Results, drawings: Mapping[str, bytes], thumbnails: Mapping[str, str]) -> str:
    """Return the page; `drawings` are SVG files by metric, `thumbnails` data: addresses by picture."""
    return pages.render(
        "eval.html",
        summary=_summary(results),
        notes=list(_notes(results)),
        bd_rates=_bd_rates(results),
        figures=[_figure(results, metric, svg) for metric, svg in drawings.items()],
        published=_published(results),
        by_picture=_by_picture(results, thumbnails),
        cost_columns=["", "encode, s per megapixel", "decode, s per megapixel", "peak memory, MB"],
        costs=_costs(results),
        cost_note=_cost_note(results["machine"]),
        points=[_points(results, metric) for metric in results["curves"]],
        settings=[(about["label"], _setting(about["settings"])) for about in results["codecs"].values()],
        metrics=[(about["label"], about["definition"]) for about in results["metrics"].values()],
        left_out=_left_out(results),
        origin=list(_origin(results)),
    )


def _summary(results: Results) -> str:
    count, codecs = len(results["pictures"]), len(results["codecs"])
    return (
        f"{count} picture{'s' * (count != 1)} through {codecs} codec{'s' * (codecs != 1)}: {len(results['rows']):,} "
        "files were written, decoded and compared. Rates count whole files."
    )


def _notes(results: Results) -> Iterable[str]:
    skipped, failed = len(results["skipped"]), len(results["failures"])
    if skipped:
        yield f"{skipped} unreadable file{'s were' if skipped > 1 else ' was'} skipped; see below."
    if failed:
        yield f"{failed} measurement{'s' * (failed > 1)} failed; see below."
    measured = len({row["picture"] for row in results["rows"]})
    for about in results["metrics"].values():
        if about["pictures"] < measured:
            yield (
                f"{about['label']} is of {about['pictures']} of {measured} pictures, because the others have a side "
                f"below {about['min_side']} pixels."
            )


def _bd_rates(results: Results) -> dict[str, Any] | None:
    bd = results["bd_rate"]
    if not bd["labels"] or not bd["against"]:
        return None
    return {
        "reference": results["codecs"][bd["reference"]]["label"],
        "method": bd["method"],
        "columns": ["", *(results["metrics"][metric]["axis"] for metric in bd["against"])],
        "rows": [
            _row(results, name, label, [_percent(found.get(name)) for found in bd["against"].values()])
            for name, label in bd["labels"].items()
        ],
    }


def _percent(found: Mapping[str, float] | None) -> dict[str, str]:
    if found is None:
        return {"percent": "–", "between": ""}
    percent, between = f"{found['percent']:+.1f} %", f"({found['low']:.1f} to {found['high']:.1f})"
    return {"percent": percent.replace("-", "−"), "between": between.replace("-", "−")}


def _figure(results: Results, metric: str, svg: bytes) -> dict[str, str]:
    words = f"{results['metrics'][metric]['label']} over bits per pixel; the numbers are in the tables below"
    return {"source": pages.data_uri(svg, "image/svg+xml"), "text": words}


def _published(results: Results) -> list[str]:
    lines = []
    for anchor in results["published"].values():
        source = anchor.get("source", {})
        lines.append(", ".join([anchor["name"], anchor["dataset"], *(source[k] for k in _SOURCE_KEYS if k in source)]))
    return lines


def _by_picture(results: Results, thumbnails: Mapping[str, str]) -> dict[str, Any] | None:
    """Return a row for each picture: what bits every codec takes for its quality, against the reference."""
    found = results["by_picture"]["bd_rate_percent"]
    names = [name for name in results["codecs"] if any(name in rates for rates in found.values())]
    if not names:
        return None
    rows = [
        {
            "name": picture,
            "source": thumbnails.get(picture),
            "cells": [
                "–" if (rate := rates.get(name)) is None else f"{rate:+.1f} %".replace("-", "−") for name in names
            ],
        }
        for picture, rates in found.items()
    ]
    return {
        "metric": results["metrics"][results["by_picture"]["metric"]]["label"].removesuffix(" (dB)"),
        "reference": results["codecs"][results["bd_rate"]["reference"]]["label"],
        "columns": ["", "picture", *(results["codecs"][name]["label"] for name in names)],
        "rows": rows,
    }


def _costs(results: Results) -> list[Row]:
    rows = []
    for name, cost in results["costs"].items():
        peak = cost["peak_memory_bytes"]
        values = [
            f"{cost['encode_seconds_per_megapixel']:.3f}",
            f"{cost['decode_seconds_per_megapixel']:.3f}",
            "–" if peak is None else f"{peak / 1e6:.0f}",
        ]
        rows.append(_row(results, name, results["codecs"][name]["label"], values))
    return rows


def _cost_note(machine: Mapping[str, Any]) -> str:
    jobs = " or ".join(map(str, machine["jobs"]))
    return (
        f"Means over pictures and qualities, {jobs} at a time on {machine['cores']} cores. Memory is the highest "
        "growth of resident memory during a call; what was loaded before, such as a model, is not in it."
        + _load(machine)
    )


def _load(machine: Mapping[str, Any]) -> str:
    """Return a sentence on what else the machine did, which makes times longer."""
    if not machine["load"]:
        return ""
    low, high = machine["load"]
    return f" The machine's load was {low:g} to {high:g} meanwhile; where it is above the jobs, something else ran too."


def _points(results: Results, metric: str) -> dict[str, Any]:
    label = results["metrics"][metric]["label"]
    rows = [
        _row(results, name, curve["label"], [f"{quality:g}", f"{bpp:.4f}", f"{value:.4f}"])
        for name, curve in results["curves"][metric].items()
        for quality, bpp, value in zip(curve["qualities"], curve["bpp"], curve["values"], strict=True)
    ]
    return {"label": label, "columns": ["", "quality", "bpp", label], "rows": rows}


def _left_out(results: Results) -> list[str]:
    lines = [f"{item['picture']}: {item['reason']}" for item in results["skipped"]]
    return lines + [
        f"{row['picture']}, {row['codec']} at {row['quality']:g}: {row['error']}" for row in results["failures"]
    ]


def _origin(results: Results) -> Iterable[str]:
    machine = results["machine"]
    yield results["made"] + (f", commit {results['commit']}" if results["commit"] else "")
    yield f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"
    yield ", ".join(f"{name} {version}" for name, version in results["versions"].items())


def _setting(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} ({_setting(value)})" if isinstance(value, Mapping) else f"{key} {value}"
        for key, value in settings.items()
    )


def _row(results: Results, name: str, label: str, cells: Sequence[Any]) -> Row:
    """Return a row of a codec's label and cells; ours are set off."""
    return {"label": label, "cells": cells, "is_ours": _is_ours(results, name)}


def _is_ours(results: Results, name: str) -> bool:
    return bool(results["codecs"].get(name, {}).get("settings", {}).get("format") == "VQC")
