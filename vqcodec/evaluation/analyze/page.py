"""An analysis as one HTML page that needs no other file and no network."""

from __future__ import annotations

from typing import Any

from vqcodec.evaluation import pages as page
from vqcodec.evaluation.analyze.usage_plots import Plot

Values = dict[str, Any]

_STORAGE = (
    ("Codebook of plain VQ, 32 K d", "codebook", "vq_bits"),
    ("Shared codebook, 32 K d*", "codebook", "shared_bits"),
    ("Indices as the paper counts, h w m log2 K", None, "paper_bits"),
    ("Indices as a decoder needs, times beta^2", None, "decoder_bits"),
    ("Every stored index at log2 K, second planes too", None, "fixed_bits"),
    ("Indices and classes under the model's tables", None, "entropy_bits"),
    ("of these the classes", None, "class_bits"),
    ("The files", None, "file_bits"),
)
_PICTURE_COLUMNS = ("paper", "decoder", "fixed", "entropy")


def render(values: Values, notes: list[str], plots: list[Plot]) -> str:
    """Return the page with the figures, sentences and plots of an analysis inside it."""
    return page.render(
        "analyze.html",
        {
            "style": page.template("base.css") + page.template("analyze.css"),
            "name": page.text(values["model"]["name"]),
            "model": page.text(_model(values)),
            "pictures": page.text(_pictures(values)),
            "facts": "\n".join(_fact(*fact) for fact in _facts(values)),
            "notes": page.notes(notes),
            "figures": "\n".join(map(_figure, plots)),
            "storage_head": page.table_head(["", "bits", "bits per pixel", "share of fixed length"]),
            "storage_rows": "\n".join(_storage_rows(values["storage"])),
            "picture_head": page.table_head(["picture", "size", "paper", "decoder", "fixed length", "entropy", "file"]),
            "picture_rows": "\n".join(map(_picture_row, values["pictures"])),
        },
    )


def _model(values: Values) -> str:
    model, quantizer = values["model"], values["model"]["quantizer"]
    beta = f"β = {quantizer['beta']} ({quantizer['mode']}), " if quantizer["beta"] > 1 else ""
    more = f", {quantizer['wide']} of them with a second index scaled by {quantizer['scale']:g}"
    return (
        f"Model {model['fingerprint']}: K = {quantizer['K']} codevectors of d* = {quantizer['d_star']}, {beta}"
        f"m = {quantizer['m']} units{more if quantizer['wide'] else ''}."
    )


def _pictures(values: Values) -> str:
    count, skipped = len(values["pictures"]), values["skipped_pictures"]
    more = f"; {skipped} could not be read" if skipped else ""
    return f"{count} picture{'s' if count != 1 else ''} at quality {values['quality']:g}{more}."


def _facts(values: Values) -> list[tuple[str, str]]:
    codebook, bpp = values["codebook"], values["storage"]["bpp"]
    indices = sum(plane["indices"] for plane in values["planes"])
    tables = sum(plane["table_bits"] * plane["indices"] for plane in values["planes"])
    return [
        ("codevectors used", f"{codebook['used']} of {len(codebook['counts'])}"),
        ("perplexity", f"{codebook['perplexity']:.1f}"),
        ("bits per index", f"{tables / indices:.2f} of {codebook['fixed_bits']:g}"),
        ("paper counts", f"{bpp['paper']:.3f} bpp"),
        ("the files hold", f"{bpp['file']:.3f} bpp"),
    ]


def _fact(name: str, value: str) -> str:
    return f"<div><dt>{page.text(name)}</dt><dd>{page.text(value)}</dd></div>"


def _figure(plot: Plot) -> str:
    source = page.data_uri(plot.files[f"{plot.name}.svg"], "image/svg+xml")
    title, words = page.text(plot.title), page.text(plot.text)
    return f'<figure><h2>{title}</h2><figcaption>{words}</figcaption><img alt="{title}" src="{source}"></figure>'


def _storage_rows(storage: Values) -> list[str]:
    rows = []
    for label, group, key in _STORAGE:
        bits = storage[group][key] if group else storage[key]
        share = "" if group else f"{bits / storage['fixed_bits']:.1%}"
        rows.append(page.table_row([label, f"{bits:,.0f}", f"{bits / storage['pixels']:.4f}", share]))
    return rows


def _picture_row(row: Values) -> str:
    pixels = row["width"] * row["height"]
    bpp = [f"{row[f'{key}_bits'] / pixels:.4f}" for key in _PICTURE_COLUMNS]
    return page.table_row(
        [row["picture"], f"{row['width']} x {row['height']}", *bpp, f"{8 * row['bytes'] / pixels:.4f}"]
    )
