"""vqc compare: a page that shows codecs beside the original at the same size."""

from __future__ import annotations

from pathlib import Path

import click

from vqcodec.cli.console import AnyPath, name_of, print_note, print_result
from vqcodec.files import atomic_write, check_input, check_not_input, check_output, identities


@click.command("compare")
@click.argument("picture", metavar="PICTURE", type=AnyPath())
@click.option(
    "-o",
    "--output",
    metavar="PAGE",
    type=AnyPath(),
    help="The page.  [default: PICTURE with .compare.html]",
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
    "--model", "models", metavar="FILE|NAME", multiple=True, help="A model of ours; may be repeated.  [default: photo]"
)
@click.option(
    "--metric",
    "metrics",
    metavar="NAME",
    multiple=True,
    help="A metric to show; may be repeated.  [default: psnr, psnr-y, ms-ssim, ssimulacra2]",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite a page that exists.")
def command(
    picture: Path,
    output: Path | None,
    bpp: float,
    codecs: tuple[str, ...],
    models: tuple[str, ...],
    metrics: tuple[str, ...],
    force: bool,
) -> None:
    """Show PICTURE beside what codecs make of it at the same size.

    For each codec the quality is sought whose file is the largest not above the given bits per
    pixel. The page holds the pictures without further loss and opens offline: drag the divider,
    zoom, choose a codec.

    \b
    vqc compare photo.png -o compare.html --bpp 0.25
    vqc compare photo.png --codec avif-444 --codec jpeg --model my.safetensors
    """
    from vqcodec.image import check_no_picture

    page = output or picture.with_suffix(".compare.html")
    check_no_picture(page, "a page", ".html")
    check_not_input(page, identities([picture]))
    check_output(page, force)
    check_input(picture)
    from vqcodec.evaluation.compare import page as compare_page
    from vqcodec.evaluation.compare import run as compare
    from vqcodec.evaluation.metrics import DEFAULT_METRICS

    chosen, notes = compare.choose_codecs(models, codecs)
    result = compare.compare(picture, chosen, bpp, metrics or DEFAULT_METRICS)
    result.notes.extend(notes)
    with atomic_write(page, force) as file:
        file.write(compare_page.render(result).encode())
    for note in result.notes:
        print_note(note)
    for shown in result.shown:
        print_result(f"{shown.label}: quality {shown.quality:g}, {compare_page.facts(shown, result)}")
    print_result(f"{name_of(page)}: {len(result.shown)} codecs at {bpp:g} bpp beside {name_of(picture)}")
