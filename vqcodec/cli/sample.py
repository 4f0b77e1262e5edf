"""vqc sample: a picture drawn from a model's prior."""

from __future__ import annotations

import math
from pathlib import Path

import click

from vqcodec.cli.console import STANDARD, print_result
from vqcodec.cli.jobs import Job, write_output
from vqcodec.errors import SettingsError

_DIGITS = 5


@click.command("sample")
@click.option(
    "-o", "--output", metavar="OUT", required=True,
    help="A picture, a .vqc file or an .npz of indices; '-' is stdout, as a .vqc file.",
)  # fmt: skip
@click.option("--size", metavar="WxH", default="768x512", show_default=True, help="Width and height in pixels.")
@click.option("-q", "--quality", type=click.FloatRange(1, 100), default=50, show_default=True, help="1..100.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed, another picture.")
@click.option("--model", metavar="FILE|NAME", help="A model file, or the name of a shipped model.")
@click.option("-f", "--force", is_flag=True, help="Overwrite an output that exists.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def command(output: str, size: str, quality: float, seed: int, model: str | None, force: bool, as_json: bool) -> None:
    """Draw a picture from the prior: what a .vqc file of random bits decodes to.

    It shows what the model expects of pictures before it has seen one. The same model, size, quality and seed give the
    same indices on every machine.

    \b
    vqc sample -o sample.png
    vqc sample --size 512x512 -q 30 --seed 7 -o sample.vqc
    """
    from vqcodec.api import load_model
    from vqcodec.choices import check_quality
    from vqcodec.cli.tokens import VQC, as_file, check_suffix
    from vqcodec.coder import TILE, TILED_LATENTS
    from vqcodec.exact import tokens
    from vqcodec.exact.bitstream.container import NOTHING
    from vqcodec.exact.headers import Size, latent_grid
    from vqcodec.files import check_output

    job = Job(None, None if output == STANDARD else Path(output))
    suffix = job.target.suffix.lower() if job.target else VQC
    check_suffix(job.target_name, suffix)
    if job.target:
        check_output(job.target, force)
    width, height = _sides(size)
    codec = load_model(model)
    wanted = Size(width, height, check_quality(quality))
    if math.prod(latent_grid(wanted, codec.metadata.stride)) > TILED_LATENTS:
        wanted = wanted._replace(tile=TILE)
    encoded = tokens.sample(seed, wanted, codec.metadata, codec.prior)
    written, _ = as_file(codec, encoded, NOTHING, suffix)
    write_output(job, written, force)
    file_bytes = len(written if suffix == VQC else codec.pack(encoded))
    facts = {"output": job.target_name, "width": width, "height": height, "quality": encoded.size.quality, "seed": seed}
    bpp = 8 * file_bytes / (width * height)
    line = f"{job.target_name}: {width} x {height}, as a .vqc file {file_bytes:,} bytes, {bpp:.3f} bpp"
    print_result(facts | {"vqc_bytes": file_bytes, "bpp": bpp} if as_json else line, to_stderr=job.target is None)


def _sides(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and len(part) <= _DIGITS for part in parts):
        raise SettingsError(f"--size {text} is not a width and height in pixels; write for example 768x512")
    return int(parts[0]), int(parts[1])
