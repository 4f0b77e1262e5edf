"""vqc tokens: indices as NumPy arrays, and back."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vqcodec.cli import token_set
from vqcodec.cli.batch import Batch, batch_flags, run_plan
from vqcodec.cli.console import STANDARD
from vqcodec.cli.jobs import Job, Naming, Outcome, make_plan, read_input, takes_files, write_output
from vqcodec.cli.work import Work
from vqcodec.errors import SettingsError
from vqcodec.files import read_file
from vqcodec.folders import Found, list_folder

if TYPE_CHECKING:
    from vqcodec.coder import Coder
    from vqcodec.exact.bitstream.ancillary import Ancillary
    from vqcodec.exact.indices import PictureChoice

NPZ, VQC = ".npz", ".vqc"


@click.command("tokens")
@takes_files
@click.option("-q", "--quality", type=click.FloatRange(1, 100), default=50, show_default=True, help="Of pictures.")
@click.option("--model", metavar="FILE|NAME", help="A model file, or the name of a shipped model.")
@click.option("--back", is_flag=True, help="Make .vqc files or pictures of .npz.")
@batch_flags
def command(
    inputs: tuple[str, ...],
    output: str | None,
    quality: float,
    model: str | None,
    back: bool,
    recursive: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write the codebook indices of pictures and .vqc files as NumPy arrays, and with --back the other way.

    A .vqc file that vqc wrote comes back the same byte for byte. docs/tokens.md says what the arrays are.
    With --back the suffix of OUT chooses between a .vqc file and a picture. A folder becomes one .npz
    if OUT is one, and --back makes its .vqc files again, in a folder.

    \b
    vqc tokens photo.png -o photo.npz
    vqc tokens photo.vqc -o photo.npz
    vqc tokens --back photo.npz -o photo.vqc
    vqc tokens photos/ --model cvq.safetensors -o tokens.npz
    vqc tokens --back tokens.npz --model cvq.safetensors -o again/
    """
    if not back and token_set.wants_set(inputs, output, NPZ):
        token_set.write_set(Path(inputs[0]), Path(str(output)), quality, model, force, as_json)
        return
    if back and (data := _of_many(inputs)):
        token_set.write_files(data, Path(inputs[0]), output, model, force, as_json)
        return
    plan = make_plan(inputs, Naming(VQC if back else NPZ, output, force), recursive, partial(_find_files, back=back))
    work = Work(partial(_convert, quality=quality, model=model, back=back, force=force))
    run_plan(plan, work, Batch(as_json=as_json))


def check_suffix(name: str, suffix: str) -> None:
    """Raise OutputError for a suffix that names no form of indices, no file and no picture."""
    from vqcodec.image import output_format

    if suffix not in (NPZ, VQC):
        output_format(name, suffix)


def as_file(codec: Coder, encoded: PictureChoice, ancillary: Ancillary, suffix: str) -> tuple[bytes, tuple[str, ...]]:
    """Return indices as a file, .npz, .vqc or a picture, and notes on what it cannot keep."""
    from vqcodec.exact import tokens
    from vqcodec.image import picture_with, write_picture

    if suffix == NPZ:
        return tokens.to_npz(encoded, codec.metadata, codec.prior, ancillary), ()
    if suffix == VQC:
        return codec.pack(encoded, ancillary), ()
    written = io.BytesIO()
    notes = write_picture(picture_with(codec.decode(encoded), ancillary), written, suffix)
    return written.getvalue(), notes


def _convert(job: Job, quality: float, model: str | None, back: bool, force: bool) -> Outcome:
    data = read_input(job)
    suffix = job.target.suffix.lower() if job.target else (VQC if back else NPZ)
    if not back and suffix != NPZ:
        raise SettingsError(f"{job.target_name} is no .npz; indices become a file or picture with --back")
    check_suffix(job.target_name, suffix)
    codec, encoded, said, notes = _from_npz(data, model) if back else indices_of(data, job.name, model, quality)
    written, more = as_file(codec, encoded, said, suffix)
    write_output(job, written, force)
    planes, height, width = encoded.choice.indices.shape
    result = {
        "input": job.name,
        "output": job.target_name,
        "indices": [planes, height, width],
        "width": encoded.size.width,
        "height": encoded.size.height,
        "quality": encoded.size.quality,
        "bytes": len(written),
        "notes": (*notes, *more),
    }
    line = f"{job.name} -> {job.target_name}: {planes} planes of {height} x {width} indices, {len(written):,} bytes"
    return Outcome(line, result, (*notes, *more), aside=job.target is None)


def _of_many(inputs: tuple[str, ...]) -> bytes:
    """Return the one .npz that is named where it is of many pictures, or nothing."""
    from vqcodec.exact import token_sets

    if len(inputs) != 1 or inputs[0] == STANDARD or not Path(inputs[0]).is_file():
        return b""
    data = read_file(Path(inputs[0]))
    return data if token_sets.is_set(data) else b""


def _from_npz(data: bytes, model: str | None) -> tuple[Coder, PictureChoice, Ancillary, tuple[str, ...]]:
    from vqcodec.api import load_model
    from vqcodec.exact import model_file, tokens

    said = tokens.from_npz(data)
    codec = load_model(model_file.needed(said.fingerprint, model))
    return codec, tokens.complete(said, codec.metadata, codec.prior), said.ancillary, ()


def indices_of(
    data: bytes, name: str, model: str | None, quality: float
) -> tuple[Coder, PictureChoice, Ancillary, tuple[str, ...]]:
    """Return the indices of a .vqc file, or of a picture that is compressed first."""
    from vqcodec.api import load_model, open_file
    from vqcodec.exact.bitstream.header import MAGIC
    from vqcodec.exact.tokens import MAGIC as NPZ_MAGIC
    from vqcodec.image import read_picture

    if data.startswith(NPZ_MAGIC):
        raise SettingsError(f"{name} holds arrays already; --back makes a file or picture of them")
    notes: tuple[str, ...] = ()
    if not data.startswith(MAGIC):
        picture = read_picture(data, name, background=None)
        data, notes = load_model(model).compress(picture, quality), picture.notes
    coder, parsed = open_file(data, model)
    return coder, coder.unpack(parsed), parsed.ancillary, notes


def _find_files(folder: Path, back: bool) -> Found:
    from vqcodec.image import list_pictures

    return list_folder(folder, (NPZ,)) if back else list_pictures(folder, (VQC,))
