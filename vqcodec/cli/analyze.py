"""vqc analyze: what a model's codebook does on some pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vqcodec.cli.console import AnyPath, name_of, print_note, print_result
from vqcodec.files import check_input


@click.command("analyze")
@click.argument("model", metavar="MODEL")
@click.argument("images", metavar="IMAGES...", nargs=-1, required=True, type=AnyPath())
@click.option("-o", "--output", metavar="FOLDER", required=True, type=AnyPath(), help="Where to write.")
@click.option("-q", "--quality", type=click.FloatRange(1, 100), default=50, show_default=True, help="1..100.")
@click.option("-f", "--force", is_flag=True, help="Overwrite an analysis that is in the folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one line of JSON.")
def command(model: str, images: tuple[Path, ...], output: Path, quality: float, force: bool, as_json: bool) -> None:
    """Show what the codebook of MODEL does on pictures or folders of them.

    MODEL is a model file or the name of a shipped model. Written are usage and perplexity,
    usage of each unit and sharing between units (LooC's Figures 7 and 8), the codebook drawn
    (Figure 5), the entropy of the indices, and LooC's storage section beside the real files:
    analysis.json, plots as PNG and SVG, and index.html, which opens offline.

    \b
    vqc analyze photo photos/ -o analysis/
    vqc analyze my.safetensors photos/ -q 30 -o analysis/
    """
    from vqcodec.exact import model_file

    for image in images:
        check_input(image)
    model_file.resolve(model)
    from vqcodec.api import load_model
    from vqcodec.evaluation.analyze import run as analyze
    from vqcodec.evaluation.analyze import usage_plots

    usage_plots.require()
    analyze.check_folder(output, force)
    paths = analyze.find_sources(list(images), print_note)
    analysis = analyze.analyze(load_model(model), paths, quality)
    analyze.write(analysis, output, force)
    for note in analysis.notes:
        print_note(note)
    print_result(analysis.values if as_json else _summary(analysis.values, output))


def _summary(values: dict[str, Any], output: Path) -> str:
    codebook, bpp, K = values["codebook"], values["storage"]["bpp"], values["model"]["quantizer"]["K"]
    return (
        f"{name_of(output / 'index.html')}: {len(values['pictures'])} pictures, {codebook['used']} of {K} codevectors "
        f"used, perplexity {codebook['perplexity']:.1f}; indices {bpp['paper']:.3f} bpp as the paper counts, files "
        f"{bpp['file']:.3f} bpp"
    )
