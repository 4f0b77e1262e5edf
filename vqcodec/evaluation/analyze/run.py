"""`vqc analyze`: what a model's codebook does on some pictures, and what that costs in storage.

    pictures -> codec.encode -> indices   -> usage.py: usage, perplexity, sharing, entropy
                             -> .vqc file -> vqcodec/exact/accounting.py: LooC's storage section, and the real file
    all of that -> analysis.json, plots (usage_plots.py), index.html (page.py)

Figure numbers are those of LooC's paper and its supplement.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vqcodec.choices import check_quality
from vqcodec.codec import Codec
from vqcodec.errors import InputError, OutputError
from vqcodec.evaluation.analyze import page as analyze_page
from vqcodec.evaluation.analyze import usage_plots
from vqcodec.evaluation.analyze.usage import Usage, principal_plane, summarize
from vqcodec.exact.accounting import IndexStorage, codebook_storage, index_storage
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.ancillary import Ancillary
from vqcodec.files import atomic_write
from vqcodec.folders import Found, left_out_note
from vqcodec.image import Picture, list_pictures, missing_note, read_picture
from vqcodec.names import notes_on, printable

JSON_NAME = "analysis.json"
PAGE_NAME = "index.html"
_SUMMED = [field.name for field in fields(IndexStorage) if field.name.endswith("_bits")]
# With fewer indices than this for each codevector, a plane may leave some unused by chance alone.
ENOUGH_PER_CODEVECTOR = 10


@dataclass(frozen=True)
class Analysis:
    """All figures as plain values for JSON, and sentences on what was left out or limits them."""

    values: dict[str, Any]
    notes: list[str]


def find_sources(sources: list[Path], note: Callable[[str], None] = lambda sentence: None) -> list[Path]:
    """Return the pictures in folders (with subfolders) and single files; InputError where there are none.

    `note` is called with a sentence on what is left out of folders.
    """
    found: list[Path] = []
    left_out: list[Path] = []
    for source in sources:
        if not source.exists():
            raise InputError(f"{source} does not exist; name pictures or folders of them")
        inside = list_pictures(source) if source.is_dir() else Found([source])
        found += inside.checked()
        left_out += inside.left_out
    if left_out:
        note(left_out_note(left_out, missing_note(left_out)))
    if not found:
        raise InputError(f"no pictures were found in {', '.join(map(str, sources))}; name folders of images")
    return found


def check_folder(folder: Path, force: bool) -> None:
    """Raise OutputError where `folder` cannot take an analysis: it is a file, or holds something and not `force`."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder for the analysis")
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"the folder {folder} is not empty; use -f to overwrite what an analysis writes there")


def analyze(codec: Codec, paths: list[Path], quality: float) -> Analysis:
    """Encode pictures at a quality and return what was counted; those that cannot be read are named in the notes."""
    quality = check_quality(quality)
    settings = codec.quantizer.settings
    usage = Usage.empty(settings.planes, settings.K)
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    about: dict[str, list[str]] = {}
    for path, picture in _pictures(paths, notes):
        for sentence in picture.notes:
            about.setdefault(sentence, []).append(printable(path))
        encoded = codec.encode(picture.pixels, quality)
        usage = usage.plus(encoded, codec.prior)
        rows.append(_storage_row(path, codec, codec.pack(encoded, Ancillary(picture.icc))))
    if not rows:
        raise InputError(f"none of the {len(paths)} pictures can be read; the first: {notes[0]}")
    figures = summarize(usage, codec.metadata)
    values = _values(codec, quality, figures, rows, len(notes))
    return Analysis(values, notes + notes_on(about) + _limits(figures, settings.K))


def write(analysis: Analysis, folder: Path, force: bool) -> None:
    """Write analysis.json, the plots and index.html into a folder, which is made."""
    check_folder(folder, force)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made a folder: {error.strerror}") from error
    plots = usage_plots.draw(analysis.values)
    outputs = {name: data for plot in plots for name, data in plot.files.items()}
    outputs[JSON_NAME] = (json.dumps(analysis.values, indent=1) + "\n").encode()
    outputs[PAGE_NAME] = analyze_page.render(analysis.values, analysis.notes, plots).encode()
    for name, data in outputs.items():
        with atomic_write(folder / name, force) as file:
            file.write(data)


def _pictures(paths: list[Path], notes: list[str]) -> Iterator[tuple[Path, Picture]]:
    for path in tqdm(paths, desc="pictures", unit="", disable=None):
        try:
            yield path, read_picture(path)
        except InputError as error:
            notes.append(f"skipped: {error}")


def _storage_row(path: Path, codec: Codec, data: bytes) -> dict[str, Any]:
    """Return one picture's storage; the file is decoded for it, so its indices are known to come back."""
    parsed = container.read(data)
    header = parsed.header
    return {
        "picture": printable(path.name),
        "width": header.width,
        "height": header.height,
        "bytes": len(data),
        "codebook": asdict(codebook_storage(header, codec.metadata.quantizer["name"])),
        **asdict(index_storage(parsed, codec.metadata, codec.prior)),
    }


def _values(
    codec: Codec, quality: float, figures: dict[str, Any], rows: list[dict[str, Any]], skipped: int
) -> dict[str, Any]:
    metadata = codec.metadata
    vectors = codec.quantizer.codevectors().detach().numpy()
    points, shown = principal_plane(vectors)
    codebook = figures["codebook"] | {
        "fixed_bits": float(np.log2(codec.prior.K)),
        "vectors": vectors.tolist(),
        "points": points.tolist(),
        "variance_shown": shown,
    }
    codebook_bits = rows[0]["codebook"]
    return {
        "model": {"name": metadata.name, "fingerprint": metadata.fingerprint, "quantizer": metadata.quantizer},
        "quality": quality,
        "skipped_pictures": skipped,
        **figures,
        "codebook": codebook,
        "storage": {"codebook": codebook_bits, **_total(rows)},
        "pictures": [{key: value for key, value in row.items() if key != "codebook"} for row in rows],
    }


def _total(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the sums over pictures in bits, and divided by all their pixels."""
    pixels = sum(row["width"] * row["height"] for row in rows)
    bits = {key: sum(row[key] for row in rows) for key in _SUMMED} | {"file_bits": 8 * sum(r["bytes"] for r in rows)}
    return {"pixels": pixels, **bits, "bpp": {key.removesuffix("_bits"): value / pixels for key, value in bits.items()}}


def _limits(figures: dict[str, Any], K: int) -> list[str]:
    indices, enough = [plane["indices"] for plane in figures["planes"]], ENOUGH_PER_CODEVECTOR * K
    few = sum(n < enough for n in indices)
    if not few:
        return []
    return [
        f"{few} of {len(indices)} index planes have fewer than {enough} indices for {K} codevectors, the least has "
        f"{min(indices)}; more pictures would use more codevectors in them"
    ]
