"""report.html: all results of an evaluation on one page that needs no other file and no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vqcodec.evaluation import pages as page

Results = dict[str, Any]
_SOURCE_KEYS = ("repository", "path", "commit")


def render(results: Results, drawings: Mapping[str, bytes]) -> str:
    """Return the page; `drawings` are SVG files by metric."""
    return page.render(
        "eval.html",
        {
            "style": page.template("base.css") + page.template("eval.css"),
            "summary": page.text(_summary(results)),
            "notes": page.notes(_notes(results)),
            "bd_rates": _bd_rates(results),
            "figures": "\n".join(_figure(results, metric, svg) for metric, svg in drawings.items()),
            "published": _published(results),
            "costs": _costs(results),
            "cost_note": page.text(_cost_note(results["machine"])),
            "points": "\n".join(_points(results, metric) for metric in results["curves"]),
            "settings": _words((about["label"], _setting(about["settings"])) for about in results["codecs"].values()),
            "metrics": _words((about["label"], about["definition"]) for about in results["metrics"].values()),
            "left_out": _left_out(results),
            "origin": page.notes(_origin(results)),
        },
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


def _bd_rates(results: Results) -> str:
    bd = results["bd_rate"]
    if not bd["labels"] or not bd["against"]:
        return ""
    head = ["", *(results["metrics"][metric]["axis"] for metric in bd["against"])]
    rows = [
        _row(label, [_percent(found.get(name)) for found in bd["against"].values()], _is_ours(results, name))
        for name, label in bd["labels"].items()
    ]
    reference = page.text(results["codecs"][bd["reference"]]["label"])
    note = page.notes([f"{bd['method']}, in brackets. Negative means fewer bits."])
    return f"<h2>Bits for the same quality, against {reference}</h2>\n{_table(head, rows)}\n{note}"


def _percent(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "–"
    percent, between = f"{found['percent']:+.1f} %", f"({found['low']:.1f} to {found['high']:.1f})"
    return f"{percent.replace('-', '−')} <small>{between.replace('-', '−')}</small>"


def _figure(results: Results, metric: str, svg: bytes) -> str:
    words = page.text(f"{results['metrics'][metric]['label']} over bits per pixel; the numbers are in the tables below")
    return f'<figure><img src="{page.data_uri(svg, "image/svg+xml")}" alt="{words}"></figure>'


def _published(results: Results) -> str:
    if not results["published"]:
        return ""
    items = []
    for anchor in results["published"].values():
        source = anchor.get("source", {})
        parts = [anchor["name"], anchor["dataset"], *(source[key] for key in _SOURCE_KEYS if key in source)]
        items.append(f"<li>{page.text(', '.join(parts))}</li>")
    words = page.notes(["* Published by others on their data set, not measured here:"])
    return f'{words}\n<ul class="quiet">{"".join(items)}</ul>'


def _costs(results: Results) -> str:
    head = ["", "encode, s per megapixel", "decode, s per megapixel", "peak memory, MB"]
    rows = []
    for name, cost in results["costs"].items():
        peak = cost["peak_memory_bytes"]
        values = [
            f"{cost['encode_seconds_per_megapixel']:.3f}",
            f"{cost['decode_seconds_per_megapixel']:.3f}",
            "–" if peak is None else f"{peak / 1e6:.0f}",
        ]
        rows.append(_row(results["codecs"][name]["label"], values, _is_ours(results, name)))
    return _table(head, rows)


def _cost_note(machine: Mapping[str, Any]) -> str:
    jobs = " or ".join(map(str, machine["jobs"]))
    return (
        f"Means over pictures and qualities, {jobs} at a time on {machine['cores']} cores. Memory is the highest "
        "growth of resident memory during a call; what was loaded before, such as a model, is not in it."
    )


def _points(results: Results, metric: str) -> str:
    label = results["metrics"][metric]["label"]
    rows = [
        _row(curve["label"], [f"{quality:g}", f"{bpp:.4f}", f"{value:.4f}"], _is_ours(results, name))
        for name, curve in results["curves"][metric].items()
        for quality, bpp, value in zip(curve["qualities"], curve["bpp"], curve["values"], strict=True)
    ]
    inner = _table(["", "quality", "bpp", label], rows)
    return f"<details><summary>{page.text(label)}</summary>\n{inner}</details>"


def _left_out(results: Results) -> str:
    lines = [f"{item['picture']}: {item['reason']}" for item in results["skipped"]]
    lines += [f"{row['picture']}, {row['codec']} at {row['quality']:g}: {row['error']}" for row in results["failures"]]
    if not lines:
        return ""
    return "<h2>Left out</h2>\n<ul>" + "".join(f"<li>{page.text(line)}</li>" for line in lines) + "</ul>"


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


def _words(rows: Iterable[tuple[str, str]]) -> str:
    body = "\n".join(page.table_row(row) for row in rows)
    return f'<div class="scroll text"><table><tbody>\n{body}\n</tbody></table></div>'


def _row(label: str, cells: Sequence[str], ours: bool) -> str:
    """Return a row of a label and of cells that are HTML already."""
    found = "".join(f"<td>{cell}</td>" for cell in cells)
    start = '<tr class="ours">' if ours else "<tr>"
    return f'{start}<th scope="row">{page.text(label)}</th>{found}</tr>'


def _table(head: Iterable[str], rows: Iterable[str]) -> str:
    body = "\n".join(rows)
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{page.table_head(head)}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _is_ours(results: Results, name: str) -> bool:
    return bool(results["codecs"].get(name, {}).get("settings", {}).get("format") == "VQC")
