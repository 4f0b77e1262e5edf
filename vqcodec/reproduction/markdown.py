"""Rows of the papers' tables as Markdown: what was measured, what was published, and the difference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from vqcodec.reproduction.results import Values, budget, budget_text
from vqcodec.reproduction.runs import Entry

NOTHING = "–"
_MANY = 0.9


class Figure(NamedTuple):
    """A published figure: its name, how it is said, and its digits."""

    name: str
    said: str
    digits: str

    def say(self, value: float, sign: str = "") -> str:
        """Return a value in words; with the sign "+" also where it is not negative."""
        return self.said.format(format(value, sign + self.digits).replace("-", "−"))


_COMPARED = (Figure("psnr_db", "{} dB", ".2f"), Figure("ssim", "SSIM {}", ".4f"), Figure("l1", "L1 {}", ".4f"))
_ONLY_SAID = (
    Figure("rfid", "rFID {}", ".2f"), Figure("fid", "FID {}", ".2f"), Figure("lpips", "LPIPS {}", ".4f"),
    Figure("usage", "usage {}", ".0%"),
)  # fmt: skip
_COLUMNS: dict[str, Callable[[Values], str]] = {
    "batch": lambda found: str(found["settings"]["batch"]),
    "epochs": lambda found: f"{found['epochs']:.3g}",
    "steps": lambda found: f"{found['steps']:,}",
    "usage": lambda found: f"{found['measured']['usage']:.1%}",
    "perplexity": lambda found: f"{found['measured']['perplexity']:.1f}",
    "L1": lambda found: f"{found['measured']['papers']['l1']:.4f}",
    "SSIM": lambda found: f"{found['measured']['papers']['ssim']:.4f}",
    "PSNR, papers'": lambda found: f"{found['measured']['papers']['psnr_db']:.2f}",
    "PSNR": lambda found: f"{found['measured']['lossless']['psnr_db']:.2f}",
}
_RATES = ("paper", "decoder", "payload", "file")
_HEAD = ("method", "K × d*", *_COLUMNS, "paper", "difference", *(f"bpp, {name}" for name in _RATES))


def by_budget(chosen: Sequence[Entry], found: Mapping[str, Values]) -> list[tuple[str, list[Entry]]]:
    """Return the rows of a table on a data set by the epochs and pictures that they had, each part with what it says.

    First the budget of the most rows, or of those the longest, with the rows that have no result; others stand apart.
    """
    parts: dict[tuple[int, float], list[Entry]] = {}
    for entry in chosen:
        if values := _result(entry, found):
            parts.setdefault(budget(values), []).append(entry)
    first, *others = sorted(parts, key=lambda each: (len(parts[each]), *each), reverse=True)
    apart = {id(entry) for other in others for entry in parts[other]}
    said = [f"Rows with a result had {budget_text(*first)}."]
    said += [f"Not to be compared with these are rows that had {budget_text(*other)}:" for other in others]
    shown = [[entry for entry in chosen if id(entry) not in apart], *(parts[other] for other in others)]
    return list(zip(said, shown, strict=True))


def rows(chosen: Sequence[Entry], found: Mapping[str, Values]) -> list[str]:
    """Return the lines of a table; published rows without a result have dashes, others without one are left out."""
    shown = [c for c in chosen if _result(c, found) or (c.row.published and not c.row.variant)]
    return _lines(_HEAD, (_cells(entry, _result(entry, found)) for entry in shown), left=2)


def sharing(chosen: Sequence[Entry], found: Mapping[str, Values]) -> list[str]:
    """Return the lines of a table of how units share codevectors (LooC, Figures 7 and 8); none where none do."""
    measured = [(entry, values["measured"]) for entry in chosen if (values := _result(entry, found))]
    cells = [_sharing(entry, values) for entry, values in measured if values["units_per_codevector"]]
    if not cells:
        return []
    head = ("method", "K × d*", "least used by a unit", "units that use 90 %", "units a codevector: fewest", "median")
    return _lines(head, cells, left=2)


def _result(entry: Entry, found: Mapping[str, Values]) -> Values | None:
    return None if entry.run is None else found.get(entry.run.name)


def _cells(entry: Entry, found: Values | None) -> list[str]:
    size = NOTHING if entry.run is None else entry.run.size
    measured = [NOTHING if found is None else cell(found) for cell in _COLUMNS.values()]
    rates = [NOTHING if found is None else f"{found['measured']['bpp'][name]:.3f}" for name in _RATES]
    return [entry.row.method, size, *measured, _published(entry), _difference(entry, found), *rates]


def _published(entry: Entry) -> str:
    """Return what the paper says; where it says nothing of this data set, what it says of others."""
    published = entry.row.published
    if entry.dataset in published:
        return _said(published[entry.dataset])
    others = {name: figures for name, figures in published.items() if name not in entry.table.datasets}
    return "; ".join(f"{name}: {_said(figures)}" for name, figures in others.items()) or NOTHING


def _said(figures: Mapping[str, float]) -> str:
    """Return the figures that are measured here too, or else the others."""
    compared, only_said = (
        [f.say(figures[f.name]) for f in kind if f.name in figures] for kind in (_COMPARED, _ONLY_SAID)
    )
    return ", ".join(compared or only_said)


def _difference(entry: Entry, found: Values | None) -> str:
    figures = entry.row.published.get(entry.dataset, {})
    if found is None:
        return NOTHING
    measured = found["measured"]["papers"]
    said = [f.say(measured[f.name] - figures[f.name], "+") for f in _COMPARED if f.name in figures]
    return ", ".join(said) or NOTHING


def _sharing(entry: Entry, measured: Values) -> list[str]:
    usage, units = measured["unit_usage"], measured["units_per_codevector"]
    assert entry.run is not None
    return [
        entry.row.method,
        entry.run.size,
        f"{min(usage):.1%}",
        f"{sum(share >= _MANY for share in usage)} of {len(usage)}",
        str(min(units)),
        f"{median(units):g}",
    ]


def _lines(head: Sequence[str], cells: Iterable[Sequence[str]], left: int) -> list[str]:
    rules = [":--" if i < left else "--:" for i in range(len(head))]
    return [f"| {' | '.join(row)} |" for row in (head, rules, *cells)]
