"""vqc desktop: what a desktop and a shell have to know of vqc, installed for one user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from vqcodec.cli.console import AnyPath, name_of, print_note, print_result
from vqcodec.errors import OutputError
from vqcodec.files import atomic_write

SHARE = Path(__file__).parent.parent / "share"
COMPLETE_VAR = "_VQC_COMPLETE"
_COMPLETIONS = {
    "bash": "bash-completion/completions/vqc",
    "zsh": "zsh/site-functions/_vqc",
    "fish": "fish/vendor_completions.d/vqc.fish",
}
"""Where a shell looks for completions below a folder of data; zsh only where its fpath says so."""


@click.command("desktop")
@click.option("--install", is_flag=True, help="Write the files, or write them again.")
@click.option("--remove", is_flag=True, help="Remove them.")
@click.option(
    "--thumbnail", metavar="SIDE FILE OUT", type=(click.IntRange(1, 65535), AnyPath(), AnyPath()),
    help="Make a PNG of FILE, a .vqc file, with no side above SIDE pixels; what a file manager calls.",
)  # fmt: skip
def command(install: bool, remove: bool, thumbnail: tuple[int, Path, Path] | None) -> None:
    """Let desktop and shell know .vqc files and vqc, for this user.

    The files are the MIME type image/x-vqc, a thumbnailer, the man page, completions for bash, zsh and fish, and a
    magic(5) entry for file(1). They go to $XDG_DATA_HOME, which is ~/.local/share where it is not set.

    \b
    vqc desktop --install
    vqc desktop --remove
    """
    if install + remove + (thumbnail is not None) != 1:
        raise click.UsageError("give one of --install, --remove and --thumbnail")
    if thumbnail is not None:
        from vqcodec.pillow import make_thumbnail

        make_thumbnail(thumbnail[1], thumbnail[2], thumbnail[0])
        return
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    if install:
        _install(home)
    else:
        _remove(home)
    _update_mime_types(home / "mime")


def data_files() -> Mapping[str, str]:
    """Return the files, by their names below a folder of data."""
    from vqcodec.cli import vqc
    from vqcodec.cli.manual import page

    files = {
        "mime/packages/vqc.xml": _shared("mime/packages/vqc.xml"),
        "thumbnailers/vqc.thumbnailer": _with_path(_shared("thumbnailers/vqc.thumbnailer")),
        "vqc/vqc.magic": _shared("vqc.magic"),
        "man/man1/vqc.1": page(vqc),
    }
    for shell, name in _COMPLETIONS.items():
        found = get_completion_class(shell)
        assert found is not None
        files[name] = found(vqc, {}, "vqc", COMPLETE_VAR).source()
    return files


def _shared(name: str) -> str:
    return (SHARE / name).read_text(encoding="utf-8")


def _with_path(entry: str) -> str:
    """Return a thumbnailer that finds this very vqc, which a desktop's PATH need not have."""
    program = shutil.which("vqc") or shutil.which(sys.argv[0])
    if program is None:
        return entry
    path = Path(program).absolute()
    return entry.replace("TryExec=vqc", f"TryExec={path}").replace("\nExec=vqc", f'\nExec="{path}"')


def _install(home: Path) -> None:
    for name, text in data_files().items():
        path = home / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{name_of(path.parent)} cannot be made a folder: {error.strerror}") from error
        with atomic_write(path, force=True) as file:
            file.write(text.encode())
        print_result(name_of(path))


def _remove(home: Path) -> None:
    for name in data_files():
        path = home / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{name_of(path)} cannot be removed: {error.strerror}") from error


def _update_mime_types(folder: Path) -> None:
    """Let the desktop read its MIME types again, which it does only from what another program makes of them."""
    program = shutil.which("update-mime-database")
    if not folder.is_dir():
        return
    if program is None or subprocess.run([program, str(folder)], capture_output=True, check=False).returncode:
        print_note(f"the desktop learns of this when update-mime-database has run; run it on {name_of(folder)}")
