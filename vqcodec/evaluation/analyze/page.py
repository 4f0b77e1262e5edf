"""An analysis as one HTML page that needs no other file and no network."""

from __future__ import annotations

from typing import Any

from vqcodec.evaluation import pages
from vqcodec.evaluation.analyze.usage_plots import Plot

Values = dict[str, Any]

_STORAGE = (
    ("Codebook of plain VQ, 32 K d", "codebook", "vq_bits"),
    ("Codebook of this model", "codebook", "bits"),
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
    return pages.render(
        "analyze.html",
        name=values["model"]["name"],
        model=_model(values),
        pictures=_pictures(values),
        usage=_usage(values),
        facts=_facts(values),
        notes=notes,
        figures=[_figure(plot) for plot in plots],
        storage_columns=["", "bits", "bits per pixel", "share of fixed length"],
        storage_rows=_storage_rows(values["storage"]),
        picture_columns=["picture", "size", "paper", "decoder", "fixed length", "entropy", "file"],
        picture_rows=[_picture_row(row) for row in values["pictures"]],
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


def _usage(values: Values) -> str:
    """Return what usage and perplexity mean for this codebook, in words."""
    codebook = values["codebook"]
    K, used, perplexity = len(codebook["counts"]), codebook["used"], codebook["perplexity"]
    unused = "every one was chosen" if used == K else f"{K - used} were never chosen"
    return (
        f"Of {K} codevectors {unused}. A perplexity of {perplexity:.1f} says that indices are as uncertain as if "
        f"{perplexity:.1f} codevectors were used equally often, {perplexity / K:.0%} of all. Files take fewer bits "
        "still, because their tables know more than how often each is chosen."
    )


def _figure(plot: Plot) -> dict[str, str]:
    source = pages.data_uri(plot.files[f"{plot.name}.svg"], "image/svg+xml")
    return {"title": plot.title, "text": plot.text, "source": source}


def _storage_rows(storage: Values) -> list[list[str]]:
    rows = []
    for label, group, key in _STORAGE:
        bits = storage[group][key] if group else storage[key]
        share = "" if group else f"{bits / storage['fixed_bits']:.1%}"
        rows.append([label, f"{bits:,.0f}", f"{bits / storage['pixels']:.4f}", share])
    return rows


def _picture_row(row: Values) -> list[str]:
    pixels = row["width"] * row["height"]
    bpp = [f"{row[f'{key}_bits'] / pixels:.4f}" for key in _PICTURE_COLUMNS]
    return [row["picture"], f"{row['width']} x {row['height']}", *bpp, f"{8 * row['bytes'] / pixels:.4f}"]
