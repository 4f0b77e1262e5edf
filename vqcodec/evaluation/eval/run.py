"""The whole evaluation: pictures, codecs and qualities in, a folder of results out.

pictures x codecs x qualities
  | measure.py            bytes, metrics, seconds, memory
journal.jsonl             written row by row
  | report.py, plots.py, page.py
results.json, results.csv, rd-*.png, rd-*.svg, report.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vqcodec.choices import MODEL_FOR_LOOKS, MODEL_FOR_PSNR
from vqcodec.errors import InputError, OutputError, SettingsError, VqcError
from vqcodec.evaluation import machine, pages
from vqcodec.evaluation.codecs import FORMATS, EvalCodec, check_qualities, open_codecs
from vqcodec.evaluation.eval import report
from vqcodec.evaluation.eval.curves import load_anchor
from vqcodec.evaluation.eval.journal import NAME as JOURNAL
from vqcodec.evaluation.eval.journal import Journal
from vqcodec.evaluation.eval.measure import Row, Task, code, measure_all
from vqcodec.evaluation.metrics import DEFAULT_METRICS, learned, usable
from vqcodec.folders import Found, left_out_note
from vqcodec.image import list_pictures, missing_note, read_picture
from vqcodec.names import notes_on, printable

DEFAULT_CODECS = (MODEL_FOR_PSNR, MODEL_FOR_LOOKS, "jpeg", "webp", "avif", "avif-psnr", "jpeg2000", "jxl")
Progress = Callable[[Iterable[Row], int], Iterable[Row]]


@dataclass(frozen=True)
class Request:
    """What to evaluate and where to write it; without codecs the default ones, without qualities each codec's own."""

    sources: Sequence[Path]
    output: Path
    codecs: Sequence[str] = ()
    qualities: Sequence[float] = ()
    metrics: Sequence[str] = DEFAULT_METRICS
    anchors: Sequence[str] = ()
    jobs: int = 1
    ray: bool = False
    force: bool = False


@dataclass
class Pictures:
    """Readable pictures as name -> path and name -> SHA-256, and the others as name -> reason.

    notes: what is not kept of pictures, with their names; left_out: what folders hold besides pictures.
    """

    paths: dict[str, Path] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    left_out: list[Path] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """Return what is to be said of the pictures before they are measured."""
        skipped = [f"{name} is skipped: {reason}" for name, reason in self.skipped.items()]
        left_out = [left_out_note(self.left_out, missing_note(self.left_out))] if self.left_out else []
        return left_out + skipped + notes_on(self.notes)


def run(request: Request, note: Callable[[str], None], progress: Progress = lambda rows, total: rows) -> dict[str, Any]:
    """Measure what is not measured yet, write the results and return them.

    `note` is called with a sentence on whatever is left out; `progress` wraps the rows as they come.
    """
    report.check_tools()
    anchors = [load_anchor(name) for name in request.anchors]
    metrics, notes = usable(request.metrics)
    codecs, more = _open_codecs(request.codecs)
    for sentence in notes + more:
        note(sentence)
    qualities = {
        text: check_qualities(codec, request.qualities or codec.default_qualities) for text, codec in codecs.items()
    }
    pictures = find(request.sources, request.output)
    for sentence in pictures.sentences():
        note(sentence)
    if not pictures.paths:
        raise InputError("there is no picture to measure; check the paths")
    journal = _open_journal(request, pictures)
    journal.declare({codec.name: {"label": codec.label, "settings": codec.settings} for codec in codecs.values()})
    names = [metric.name for metric in metrics]
    tasks = _tasks(journal, pictures, codecs, qualities, tuple(n for n in names if n not in learned.SET_METRICS))
    for row in progress(measure_all(tasks, request.jobs, request.ray), len(tasks)):
        journal.add(row | {"jobs": request.jobs, "load": machine.load()})
        if "error" in row:
            note(f"{row['picture']} with {row['codec']} at {row['quality']:g}: {row['error']}")
    if "rfid" in names:
        _add_rfid(journal, pictures, codecs)
    results = report.summarize(journal, pictures.skipped, anchors)
    for sentence in report.unfinished(results):
        note(sentence)
    report.write(request.output, results, anchors, _thumbnails(pictures))
    return results


def _thumbnails(pictures: Pictures) -> dict[str, str]:
    """Return small pictures as data: addresses, by name."""
    return {name: pages.thumbnail_uri(read_picture(path)) for name, path in pictures.paths.items()}


def find(sources: Iterable[Path], output: Path) -> Pictures:
    """Return the pictures in files and folders, by the names that results give them; none from the output folder."""
    pictures = Pictures()
    for source in sources:
        found = list_pictures(source) if source.is_dir() else Found([source])
        pictures.left_out += [path for path in found.left_out if not _is_inside(path, output)]
        for path in found.checked():
            if _is_inside(path, output):
                continue
            name = path.relative_to(source).as_posix() if source.is_dir() else path.name
            _add(pictures, printable(name if name not in pictures.paths else str(path)), path)
    return pictures


def _is_inside(path: Path, folder: Path) -> bool:
    return folder.resolve() in path.resolve().parents


def _add(pictures: Pictures, name: str, path: Path) -> None:
    try:
        for sentence in read_picture(path).notes:
            pictures.notes.setdefault(sentence, []).append(name)
        pictures.hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        pictures.paths[name] = path
    except VqcError as error:
        pictures.skipped[name] = printable(str(error))


def _open_codecs(wanted: Sequence[str]) -> tuple[dict[str, EvalCodec], list[str]]:
    """Return codecs by what they were asked for; unasked, the default ones that are here, and notes on the rest."""
    if wanted:
        return open_codecs(wanted), []
    codecs: dict[str, EvalCodec] = {}
    notes = []
    for text in DEFAULT_CODECS:
        try:
            codecs |= open_codecs([text])
        except SettingsError as error:
            if text not in FORMATS:
                raise
            notes.append(f"{text} is left out: {error}")
    return codecs, notes


def _open_journal(request: Request, pictures: Pictures) -> Journal:
    folder = request.output
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made a folder: {error.strerror}") from error
    foreign = [name for name in report.FILES if (folder / name).exists()]
    if foreign and not request.force and not (folder / JOURNAL).exists():
        raise OutputError(f"{folder} has a {foreign[0]} but no {JOURNAL}; choose another folder, or -f to overwrite")
    return Journal(folder, dict(sorted(pictures.hashes.items())), request.force)


def _tasks(
    journal: Journal,
    pictures: Pictures,
    codecs: dict[str, EvalCodec],
    qualities: dict[str, list[float]],
    metrics: tuple[str, ...],
) -> list[Task]:
    """Return what the journal lacks, picture by picture."""
    return [
        Task(name, str(path), text, codec.name, quality, metrics)
        for name, path in pictures.paths.items()
        for text, codec in codecs.items()
        for quality in qualities[text]
        if not journal.has((name, codec.name, quality), metrics)
    ]


def _add_rfid(journal: Journal, pictures: Pictures, codecs: dict[str, EvalCodec]) -> None:
    """Give every row of a codec and quality the Fréchet distance of all its pictures."""
    for codec in codecs.values():
        rows = [row for row in journal.rows.values() if row["codec"] == codec.name and "metrics" in row]
        for quality in {row["quality"] for row in rows if "rfid" not in row["metrics"]}:
            chosen = [row for row in rows if row["quality"] == quality]
            originals = (read_picture(pictures.paths[row["picture"]]).pixels for row in chosen)
            value = learned.rfid((pixels, code(codec, pixels, quality)[1]) for pixels in originals)
            for row in chosen:
                journal.add(row | {"metrics": {"rfid": value}})
