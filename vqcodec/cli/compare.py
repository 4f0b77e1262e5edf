"""vqc compare: a page that shows codecs beside the original at the same size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vqcodec.cli.console import AnyPath, name_of, print_note, print_result
from vqcodec.files import atomic_write, check_input, check_not_input, check_output, identities

if TYPE_CHECKING:
    from vqcodec.evaluation.codecs import EvalCodec


@click.command("compare")
@click.argument("pictures", metavar="PICTURE...", type=AnyPath(), nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    metavar="PAGE",
    type=AnyPath(),
    help="The page.  [default: PICTURE with .compare.html, or .blind.html]",
)
@click.option(
    "--bpp",
    type=click.FloatRange(0, 100, min_open=True),
    default=0.25,
    show_default=True,
    help="Bits per pixel that no file may exceed.",
)
@click.option(
    "--codec",
    "codecs",
    metavar="NAME",
    multiple=True,
    help="A format such as avif-444, or a model; may be repeated.  [default: jpeg, webp, avif, jpeg2000, jxl]",
)
@click.option(
    "--model",
    "models",
    metavar="FILE|NAME",
    multiple=True,
    help="A model of ours; may be repeated.  [default: perceptual]",
)
@click.option(
    "--metric",
    "metrics",
    metavar="NAME",
    multiple=True,
    help="A metric to show; may be repeated.  [default: psnr, psnr-y, ms-ssim, ssimulacra2]",
)
@click.option("--blind", is_flag=True, help="A page that asks which of two codings is nearer, without their names.")
@click.option("-f", "--force", is_flag=True, help="Overwrite a page that exists.")
def command(
    pictures: tuple[Path, ...],
    output: Path | None,
    bpp: float,
    codecs: tuple[str, ...],
    models: tuple[str, ...],
    metrics: tuple[str, ...],
    blind: bool,
    force: bool,
) -> None:
    """Show PICTURE beside what codecs make of it at the same size.

    For each codec the quality is sought whose file is the largest not above the given bits per
    pixel. The page holds the pictures without further loss and opens offline: drag the divider,
    zoom, choose a codec.

    With --blind the page asks: which of two codings, A or B, is nearer to the original? It names
    nobody, takes several pictures, and only pairs whose files have the same size within 1 %. Answers are
    saved as JSON.

    \b
    vqc compare photo.png -o compare.html --bpp 0.25
    vqc compare photo.png --codec avif-444 --codec jpeg --model my.safetensors
    vqc compare --blind a.png b.png --codec avif -o blind.html
    """
    from vqcodec.image import check_no_picture

    if len(pictures) > 1 and not blind:
        raise click.UsageError("a page shows one picture; give one, or --blind, which asks about several")
    if blind and metrics:
        raise click.UsageError("a blind page shows no metrics; leave --metric or --blind out")
    page = output or pictures[0].with_suffix(".blind.html" if blind else ".compare.html")
    check_no_picture(page, "a page", ".html")
    check_not_input(page, identities(pictures))
    check_output(page, force)
    for picture in pictures:
        check_input(picture)
    from vqcodec.evaluation.compare import run as compare

    chosen, notes = compare.choose_codecs(models, codecs)
    for note in notes:
        print_note(note)
    if blind:
        _ask(page, pictures, chosen, bpp, force)
    else:
        _show(page, pictures[0], chosen, bpp, metrics, notes, force)


def _show(
    page: Path,
    picture: Path,
    codecs: list[EvalCodec],
    bpp: float,
    metrics: tuple[str, ...],
    notes: list[str],
    force: bool,
) -> None:
    from vqcodec.evaluation.compare import page as compare_page
    from vqcodec.evaluation.compare import run as compare
    from vqcodec.evaluation.metrics import DEFAULT_METRICS

    result = compare.compare(picture, codecs, bpp, metrics or DEFAULT_METRICS)
    for note in result.notes:
        print_note(note)
    result.notes.extend(notes)
    with atomic_write(page, force) as file:
        file.write(compare_page.render(result).encode())
    for shown in result.shown:
        print_result(f"{shown.label}: quality {shown.quality:g}, {compare_page.facts(shown, result)}")
    print_result(f"{name_of(page)}: {len(result.shown)} codecs at {bpp:g} bpp beside {name_of(picture)}")


def _ask(page: Path, pictures: tuple[Path, ...], codecs: list[EvalCodec], bpp: float, force: bool) -> None:
    from vqcodec.evaluation.compare import blind, blind_page

    asked, notes = blind.questions(pictures, codecs, bpp)
    for note in notes:
        print_note(note)
    with atomic_write(page, force) as file:
        file.write(blind_page.render(asked, bpp).encode())
    facts = blind_page.facts(asked)
    print_result(
        f"{name_of(page)}: {facts['questions']} questions about {facts['pictures']} pictures at {bpp:g} bpp; "
        f"sizes of a pair are at most {facts['apart']:.1%} apart"
    )
