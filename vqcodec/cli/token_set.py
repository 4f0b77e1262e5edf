"""vqc tokens of whole folders: one .npz for all pictures, and the files of all of them again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from vqcodec.cli.console import name_of, print_error, print_note, print_result
from vqcodec.errors import InputError, OutputError, SettingsError, VqcError
from vqcodec.files import atomic_write, check_output, read_file
from vqcodec.folders import left_out_note

if TYPE_CHECKING:
    from vqcodec.coder import Coder

VQC = ".vqc"


def wants_set(inputs: Sequence[str], output: str | None, suffix: str) -> bool:
    """Return whether a folder is to become one file: it alone is named, and -o has the suffix and is no folder."""
    one_folder = len(inputs) == 1 and os.path.isdir(inputs[0])
    return one_folder and output is not None and output.lower().endswith(suffix) and not os.path.isdir(output)


def write_set(folder: Path, output: Path, quality: float, model: str | None, force: bool, as_json: bool) -> None:
    """Write the indices of all pictures and .vqc files of a folder into one .npz.

    Bad ones are named and left out, and the command then exits with 1. SettingsError where two files have different
    models; InputError where there is nothing to write.
    """
    from vqcodec.cli.tokens import indices_of
    from vqcodec.exact import token_sets, tokens
    from vqcodec.image import list_pictures

    check_output(output, force)
    found = list_pictures(folder, (VQC,))
    files = found.checked()
    if found.left_out:
        print_note(left_out_note(found.left_out, found.hint))
    names = [path.relative_to(folder).as_posix() for path in files]
    _check_alike(names)
    kept: list[tuple[str, dict[str, Any]]] = []
    codec: Coder | None = None
    for name, path in _with_bar(list(zip(names, files, strict=True))):
        try:
            own, encoded, ancillary, notes = indices_of(read_file(path), name_of(path), model, quality)
            if codec is not None and own.metadata.fingerprint != codec.metadata.fingerprint:
                raise SettingsError(
                    f"{name_of(path)} is of another model than the files before it; give it its own .npz"
                )
        except VqcError as error:
            print_error(f"{name_of(path)}: {error}" if name_of(path) not in str(error) else error)
            continue
        codec = codec or own
        for note in notes:
            print_note(f"{name_of(path)}: {note}")
        kept.append((name, tokens.said_of_picture(encoded, own.prior, ancillary)))
    if codec is None:
        raise InputError(f"{name_of(folder)} holds no pictures whose indices could be written; check the path")
    data = token_sets.to_npz([name for name, _ in kept], [said for _, said in kept], codec.metadata)
    with atomic_write(output, force) as file:
        file.write(data)
    _say(folder, output, len(kept), len(data), as_json)
    if len(kept) < len(files):
        raise click.exceptions.Exit(1)


def write_files(data: bytes, source: Path, output: str | None, model: str | None, force: bool, as_json: bool) -> None:
    """Write the .vqc files of all pictures of a .npz below the folder `output`; bad ones are named and left out."""
    from vqcodec.api import load_model
    from vqcodec.exact import model_file, token_sets, tokens

    if output is None or Path(output).suffix:
        raise SettingsError(f"{name_of(source)} is of many pictures; name a folder with -o for their files")
    folder, failed, written = Path(output), 0, 0
    pictures = token_sets.from_npz(data)
    _check_alike([name for name, _ in pictures])
    for name, said in _with_bar(pictures):
        target = folder / PurePosixPath(name).with_suffix(VQC)
        try:
            codec = load_model(model_file.needed(said.fingerprint, model))
            packed = codec.pack(tokens.complete(said, codec.metadata, codec.prior), said.ancillary)
            _make_folder(target.parent)
            check_output(target, force)
            with atomic_write(target, force) as file:
                file.write(packed)
        except VqcError as error:
            print_error(f"{name}: {error}")
            failed += 1
            continue
        written += len(packed)
    _say(source, folder, len(pictures) - failed, written, as_json)
    if failed:
        raise click.exceptions.Exit(1)


def _check_alike(names: Sequence[str]) -> None:
    """Raise OutputError where two pictures would come back as one file."""
    seen: dict[str, str] = {}
    for name in names:
        target = PurePosixPath(name).with_suffix(VQC).as_posix().casefold()
        if target in seen:
            raise OutputError(f"{seen[target]} and {name} would come back as one file; rename one of them")
        seen[target] = name


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{name_of(folder)} cannot be made a folder: {error.strerror}") from error


def _with_bar(items: list[Any]) -> Any:
    from tqdm import tqdm

    return tqdm(items, desc="indices", unit="picture", leave=False, disable=None)


def _say(source: Path, target: Path, count: int, size: int, as_json: bool) -> None:
    facts = {"input": name_of(source), "output": name_of(target), "pictures": count, "bytes": size}
    line = f"{name_of(source)} -> {name_of(target)}: {count} pictures, {size:,} bytes"
    print_result(facts if as_json else line)
