"""Results from measurements: one JSON with everything, a CSV of the rows, plots, and a page."""

from __future__ import annotations

import csv
import importlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from statistics import mean
from typing import Any

from vqcodec.errors import SettingsError
from vqcodec.evaluation import machine, metrics
from vqcodec.evaluation.eval import curves, plots
from vqcodec.evaluation.eval import page as eval_page
from vqcodec.evaluation.eval.curves import Curve
from vqcodec.evaluation.eval.journal import Journal
from vqcodec.files import atomic_write

Results = dict[str, Any]
FORMAT = 1
FILES = ("results.json", "results.csv", "report.html")
# The codec that the others are compared with, where it was measured.
REFERENCE = "jpeg"
BD_METHOD = "BD-rate: PCHIP of log(bpp) over the metric, mean difference over the range that both curves cover"
_COSTS = ("encode_seconds", "decode_seconds", "peak_memory_bytes")


def check_tools() -> None:
    """Raise SettingsError where a library that the results need is not installed, before hours of work."""
    for name in ("bjontegaard", "matplotlib"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise SettingsError(f"an evaluation needs {name}; pip install 'vqcodec[eval]'") from error


def summarize(journal: Journal, skipped: dict[str, str], anchors: Sequence[dict[str, Any]]) -> Results:
    """Return everything that is known: rows, curves, BD-rates, and where they come from."""
    order = list(journal.pictures)
    rows = sorted(journal.rows.values(), key=lambda row: (order.index(row["picture"]), row["codec"], row["quality"]))
    good = [row for row in rows if "metrics" in row]
    names = [name for name in metrics.METRICS if any(row["metrics"].get(name) is not None for row in good)]
    codecs = {name: about for name, about in journal.codecs.items() if any(row["codec"] == name for row in good)}
    found = {metric: _curves(good, codecs, metric) for metric in names}
    sizes = {row["picture"]: {"width": row["width"], "height": row["height"]} for row in good}
    return {
        "format": FORMAT,
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": machine.commit(),
        "versions": machine.versions(),
        "machine": machine.describe() | {"jobs": sorted({row["jobs"] for row in good}), "load": _loads(good)},
        "pictures": [{"name": name, "sha256": sha, **sizes.get(name, {})} for name, sha in journal.pictures.items()],
        "skipped": [{"picture": name, "reason": reason} for name, reason in skipped.items()],
        "codecs": codecs,
        "metrics": {
            name: {**about, "pictures": len({row["picture"] for row in good if row["metrics"].get(name) is not None})}
            for name, about in metrics.describe(names).items()
        },
        "curves": {m: {codec: asdict(curve) for codec, curve in by.items()} for m, by in found.items()},
        "bd_rate": _bd_rates(found, anchors),
        "by_picture": _by_picture(good, codecs, names, list(sizes)),
        "costs": _costs(good, codecs),
        "published": {anchor["id"]: anchor for anchor in anchors},
        "rows": good,
        "failures": [row for row in rows if "error" in row],
    }


def unfinished(results: Results) -> list[str]:
    """Return a sentence on each codec that lacks pictures which others were measured on: its curve is of its own."""
    measured: dict[str, set[str]] = {}
    for row in results["rows"]:
        measured.setdefault(row["codec"], set()).add(row["picture"])
    everything = set().union(*measured.values())
    return [
        f"{codec} was measured on {len(found)} of {len(everything)} pictures, and its curve is of those alone; "
        "evaluate it again with all of them before comparing"
        for codec, found in measured.items()
        if found != everything
    ]


def compact(results: Results) -> Results:
    """Return results without the rows of single pictures."""
    return {key: value for key, value in results.items() if key != "rows"}


def write(folder: Path, results: Results, anchors: Sequence[dict[str, Any]], thumbnails: Mapping[str, str]) -> None:
    """Write all files of a folder of results; each replaces the one of an earlier run as a whole.

    thumbnails: small pictures as data: addresses, by name, for the page.
    """
    _write(folder / "results.json", dumps(results))
    _write(folder / "results.csv", _csv(results))
    drawings = {}
    for metric in results["metrics"]:
        figure = plots.draw(results, metric, anchors)
        for suffix in ("png", "svg"):
            drawing = plots.rendered(figure, suffix)
            with atomic_write(folder / f"rd-{metric}.{suffix}", force=True) as file:
                file.write(drawing)
        drawings[metric] = drawing
    _write(folder / "report.html", eval_page.render(results, drawings, thumbnails))


def dumps(results: Results) -> str:
    """Return JSON with one line per row, point or setting, so that two results can be compared by eye."""
    parts = []
    for key, value in results.items():
        if isinstance(value, list) and value:
            text = "[\n" + ",\n".join("  " + json.dumps(item, ensure_ascii=False) for item in value) + "\n ]"
        elif isinstance(value, dict) and value:
            lines = (f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items())
            text = "{\n" + ",\n".join(lines) + "\n }"
        else:
            text = json.dumps(value, ensure_ascii=False)
        parts.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def bd_table(results: Results) -> list[tuple[str, ...]]:
    """Return the BD-rates as rows of text, a header first: codec, then per metric percent and range."""
    bd = results["bd_rate"]
    names = list(bd["against"])
    if not names:
        return []
    header = ("codec", *(results["metrics"][name]["axis"] for name in names))
    rows = [header]
    for codec, label in bd["labels"].items():
        rows.append((label, *(_cell(bd["against"][name].get(codec)) for name in names)))
    return rows


def _cell(found: dict[str, float] | None) -> str:
    return "-" if found is None else str(curves.BdRate(**found))


def _curves(rows: Iterable[dict[str, Any]], codecs: dict[str, Any], metric: str) -> dict[str, Curve]:
    rows = list(rows)
    found = {
        name: curves.mean_curve((row for row in rows if row["codec"] == name), metric, about["label"])
        for name, about in codecs.items()
    }
    return {name: curve for name, curve in found.items() if curve.bpp}


def _bd_rates(found: dict[str, dict[str, Curve]], anchors: Sequence[dict[str, Any]]) -> Results:
    """Return every codec's and published curve's BD-rate against one codec, for each metric."""
    measured = next(iter(found.values()), {})
    reference = REFERENCE if REFERENCE in measured else next(iter(measured), None)
    against: dict[str, dict[str, Any]] = {}
    labels = {name: curve.label for name, curve in measured.items() if name != reference}
    for metric, by_codec in found.items():
        published = {f"{anchor['id']}*": curves.anchor_curve(anchor, metric) for anchor in anchors}
        if reference not in by_codec:
            continue
        against[metric] = {}
        for name, curve in {**by_codec, **published}.items():
            if curve is None or name == reference:
                continue
            labels.setdefault(name, curve.label + ("*" if name in published else ""))
            rate = curves.bd_rate(by_codec[reference], curve, metric)
            against[metric][name] = asdict(rate) if rate else None
    return {"reference": reference, "method": BD_METHOD, "labels": labels, "against": against}


def _by_picture(
    rows: Sequence[dict[str, Any]], codecs: dict[str, Any], names: Sequence[str], pictures: Sequence[str]
) -> Results:
    """Return every picture's BD-rates, in percent, of the first metric, by picture and codec."""
    found: Results = {}
    for picture in pictures if names else ():
        own = [row for row in rows if row["picture"] == picture]
        rates = _bd_rates({names[0]: _curves(own, codecs, names[0])}, ())["against"].get(names[0], {})
        found[picture] = {codec: rate and rate["percent"] for codec, rate in rates.items()}
    return {"metric": next(iter(names), None), "bd_rate_percent": found}


def _loads(rows: Iterable[dict[str, Any]]) -> list[float]:
    """Return the lowest and the highest load of the machine while rows were measured, if anything is known of it."""
    loads = [row["load"] for row in rows if row.get("load") is not None]
    return [min(loads), max(loads)] if loads else []


def _costs(rows: Sequence[dict[str, Any]], codecs: dict[str, Any]) -> Results:
    """Return per codec the mean seconds per megapixel and the highest memory."""
    found: Results = {}
    for name in codecs:
        own = [row for row in rows if row["codec"] == name]
        per_megapixel = {
            key: mean(1e6 * row[key] / (row["width"] * row["height"]) for row in own) for key in _COSTS[:2]
        }
        peaks = [row["peak_memory_bytes"] for row in own if row["peak_memory_bytes"] is not None]
        found[name] = {
            "encode_seconds_per_megapixel": round(per_megapixel["encode_seconds"], 4),
            "decode_seconds_per_megapixel": round(per_megapixel["decode_seconds"], 4),
            "peak_memory_bytes": max(peaks, default=None),
        }
    return found


def _csv(results: Results) -> str:
    names = list(results["metrics"])
    columns = ["picture", "codec", "quality", "width", "height", "bytes", "bpp", *names, *_COSTS, "error"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in [*results["rows"], *results["failures"]]:
        writer.writerow(row | row.get("metrics", {}))
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    with atomic_write(path, force=True) as file:
        file.write(text.encode())
