"""vqc info: what a .vqc file says of itself and where its bytes go."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vqcodec.cli.batch import Batch, run_plan
from vqcodec.cli.console import AnyPath
from vqcodec.cli.jobs import Job, Outcome, Plan, read_input
from vqcodec.cli.work import Work

if TYPE_CHECKING:
    from vqcodec.exact.bitstream.header import Header
    from vqcodec.exact.metadata import Metadata
    from vqcodec.exact.priors import Prior

_LABEL_WIDTH = 24


@click.command("info")
@click.argument("inputs", metavar="FILE...", nargs=-1, required=True, type=AnyPath(None))
@click.option("--model", metavar="FILE|NAME", help="The model file, for files of a model that is not shipped.")
@click.option(
    "--check", is_flag=True,
    help="Decode the indices, or pixels without loss, too: whether they are undamaged; what indices cost as entropy.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per file.")
def command(inputs: tuple[str, ...], model: str | None, check: bool, as_json: bool) -> None:
    """Show what .vqc files hold and where the bytes go.

    Header, bytes by section, and the storage analysis: what the papers count (S_codebook and
    S_index) and what a decoder needs; with --check the entropy of the indices under the model's tables.

    Without --check the file's checksum is compared, and its header with the model.
    """
    jobs = [Job(None if text == "-" else Path(text), None) for text in inputs]
    run_plan(Plan(jobs), Work(partial(_info, model=model, check=check)), Batch(as_json=as_json))


def _info(job: Job, model: str | None, check: bool) -> Outcome:
    from vqcodec.exact import accounting as storage
    from vqcodec.exact.bitstream import container

    parsed = container.read(read_input(job))
    metadata, prior = _find_model(parsed.header, model, check)
    facts = storage.analyze(parsed, metadata, prior)
    return Outcome("\n".join(_describe(job.name, facts)), {"file": job.name} | facts)


def _find_model(header: Header, model: str | None, check: bool) -> tuple[Metadata | None, Prior | None]:
    """Return the model that the user names or that is shipped, or nothing; its prior where indices are decoded."""
    from vqcodec.exact.metadata import find, read_metadata, resolve

    path = find(header.fingerprint) if model is None else resolve(model)
    if path is None:
        return None, None
    if model is None and not check:
        return read_metadata(path), None
    from vqcodec.exact.model_file import load_prior

    metadata, prior = load_prior(path, verify=model is not None)
    return metadata, prior if check else None


def _describe(name: str, facts: dict[str, Any]) -> Iterator[str]:
    pixels = facts["width"] * facts["height"]
    beta = f"beta = {facts['beta']}" + (f" ({facts['beta_mode']})" if facts["beta"] > 1 else "")
    yield f"{name}: {facts['width']} x {facts['height']}, {facts['bytes']:,} bytes, {facts['bpp']:.4f} bpp"
    yield _row("quality", _quality(facts))
    raw_bytes, channels = _channels(facts)
    yield _row("smaller than pixels", f"{raw_bytes / facts['bytes']:.1f} times ({raw_bytes:,} bytes of {channels})")
    space = "by its ICC profile" if facts["icc_profile"] else "sRGB"
    yield _row("colors", f"gray, {space}" if facts["gray"] else space)
    yield _row("transparency", "kept" if facts["alpha"] else "none")
    yield _row("metadata", _metadata(facts))
    yield _row("decodes", "here" if facts["model"] else "with the model's file, which is not shipped: --model")
    yield "how it is coded"
    yield _row("model", f"{facts['model'] or 'not shipped'} ({facts['fingerprint']})")
    yield _row(
        "quantizer",
        f"{facts['quantizer'] or '?'}, K = {facts['K']}, m = {facts['m']}, d* = {facts['d_star']}, {beta}, "
        f"depth {facts['depth']}, layout {facts['layout']}",
    )
    tiles = f", tiles of {facts['tile']} x {facts['tile']} latents" if facts["tile"] else ""
    yield _row("prior", facts["prior"] + (", tables that adapt" if facts["adaptive"] else "") + tiles)
    yield "bytes in the file"
    for section, size in facts["sections"].items():
        yield _amount(section, 8 * size, pixels)
    yield _amount("total", 8 * facts["bytes"], pixels)
    if facts["lossless"]:
        yield "  there are no indices: the pixels themselves are stored"
        return
    yield "storage analysis"
    yield from _describe_storage(facts, pixels)


def _quality(facts: dict[str, Any]) -> str:
    if facts["lossless"]:
        return "without loss"
    drawn = ", drawn parts without loss" if facts["overlay"] else ""
    half = ", half the width and height, shown enlarged" if facts["halved"] else ""
    return f"{facts['quality']:g} of 100{drawn}{half}"


def _channels(facts: dict[str, Any]) -> tuple[int, str]:
    """Return the bytes of a picture's pixels, and what these are."""
    channels = "gray" if facts["gray"] else "RGB"
    count = (1 if facts["gray"] else 3) + facts["alpha"]
    return count * facts["width"] * facts["height"], channels + (" and alpha" if facts["alpha"] else "")


def _metadata(facts: dict[str, Any]) -> str:
    kept = [f"{name.upper()} ({facts[f'{name}_bytes']:,} bytes)" for name in ("exif", "xmp") if facts[f"{name}_bytes"]]
    return ", ".join(kept) or "none"


def _describe_storage(facts: dict[str, Any], pixels: int) -> Iterator[str]:
    codebook, indices, d = facts["codebook"], facts["indices"], facts["m"] * facts["d_star"]
    yield _row("S_codebook = 32 K d", f"{codebook['vq_bits']:,} bits, plain VQ of the same d = {d}")
    yield _row(f"S_codebook = {codebook['formula']}", f"{codebook['bits']:,} bits, {_books(facts)}")
    yield _row("capacity", _capacity(facts))
    if indices is None:
        yield "  the model is not here: name its file with --model for the analysis of the indices"
        return
    grid = f"{indices['h']} x {indices['w']} latents"
    yield _amount("S_index as papers count", indices["paper_bits"], pixels, f"h w m log2 K, {grid}")
    yield _amount("S_index for a decoder", indices["decoder_bits"], pixels, _decoder_formula(facts))
    yield _row(
        "multiplications",
        f"{indices['multiplications']:,} to find the nearest, {_search_formula(facts)}; "
        f"with K' {indices['equal_multiplications']:,.0f}",
    )
    yield _amount("all indices, raw", indices["fixed_bits"], pixels, f"{indices['planes']} planes at log2 K")
    if indices["entropy_bits"] is not None:
        yield _amount("entropy under the model", indices["entropy_bits"], pixels, _class_part(indices))


def _books(facts: dict[str, Any]) -> str:
    """Return how many codebooks there are, and whose."""
    books, m, depth = facts["codebook"]["books"], facts["m"], facts["depth"]
    if books == 0:
        return "a grid that follows from its levels"
    if books > 1:
        return f"{books} books, one for each unit"
    if facts["layout"] == "stages":
        return f"one book that {depth} stages share"
    return f"one book that {m} units share" if m > 1 else "one book"


def _capacity(facts: dict[str, Any]) -> str:
    codebook, of = facts["codebook"], "stages" if facts["layout"] == "stages" else "m"
    count = facts["depth"] if of == "stages" else facts["m"]
    text = f"K^{of} = 2^{codebook['capacity_bits']:g} different latent vectors"
    if count == 1:
        return text
    return f"{text}; that of plain VQ with K needs K' = K^(1/{of}) = {codebook['equal_K']:.4g} codevectors"


def _search_formula(facts: dict[str, Any]) -> str:
    stages = "stages " if facts["layout"] == "stages" else ""
    beta = "beta^2 " if facts["beta"] > 1 and facts["beta_mode"] != "smooth" else ""
    return f"{stages}{beta}h w K d"


def _decoder_formula(facts: dict[str, Any]) -> str:
    if facts["beta_mode"] == "smooth":
        return "h w m log2 K, the decoder interpolates the rest"
    return "beta^2 h w m log2 K"


def _class_part(indices: dict[str, Any]) -> str:
    return f"{indices['class_bits'] / 8:,.0f} bytes of it for the classes" if indices["class_bits"] else ""


def _row(label: str, text: str) -> str:
    return f"  {label:<{_LABEL_WIDTH}} {text}"


def _amount(label: str, bits: float, pixels: int, remark: str = "") -> str:
    return _row(label, f"{bits / 8:>12,.0f} bytes  {bits / pixels:>9.4f} bpp  {remark}").rstrip()
