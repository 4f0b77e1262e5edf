"""What vqc desktop installs is what shells, man, file and the desktop's own programs understand, and nothing stays."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest
from PIL import Image
from test_cli_errors import says
from tiny import Run

from vqcodec.cli import COMMANDS, desktop, manual, vqc
from vqcodec.exact.bitstream.header import MAGIC
from vqcodec.pillow import MIME_TYPE

ROOT = Path(__file__).parent.parent
FILES = [
    "bash-completion/completions/vqc",
    "fish/vendor_completions.d/vqc.fish",
    "man/man1/vqc.1",
    "mime/packages/vqc.xml",
    "thumbnailers/vqc.thumbnailer",
    "vqc/vqc.magic",
    "zsh/site-functions/_vqc",
]


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip a test where a program is not here."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"no {', '.join(missing)}")


@pytest.fixture
def home(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of data with all files in it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    result = run("desktop", "--install")
    assert result.code == 0
    assert sorted(result.out.decode().splitlines()) == [str(tmp_path / "data" / name) for name in FILES]
    return tmp_path / "data"


@pytest.fixture
def shell(tmp_path: Path) -> Mapping[str, str]:
    """An environment whose PATH has a vqc."""
    program = tmp_path / "bin" / "vqc"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m vqcodec "$@"\n')
    program.chmod(0o755)
    return os.environ | {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}


def output(*command: object, **options: object) -> str:
    """What a program prints, which must end well and complain of nothing."""
    arguments = list(map(str, command))
    result = subprocess.run(arguments, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert (result.returncode, result.stderr) == (0, "")
    return str(result.stdout)


def test_all_is_installed_again_and_removed(run: Run, home: Path) -> None:
    assert run("desktop", "--install").code == 0
    assert [name for name in FILES if not (home / name).is_file()] == []
    result = run("desktop", "--remove")
    assert (result.code, result.out, result.err) == (0, b"", "")
    assert [name for name in FILES if (home / name).exists()] == []
    assert run("desktop", "--remove").code == 0


def test_home_is_used_without_a_setting(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run("desktop", "--install").code == 0
    assert (tmp_path / ".local" / "share" / FILES[0]).is_file()


def test_what_cannot_be_is_a_sentence(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").write_text("no folder")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert says(run("desktop", "--install"), "cannot be made a folder: ")
    assert says(run("desktop", "--remove"), "cannot be removed: ")


@pytest.mark.parametrize(
    "arguments", ["", "--install --remove", "--install --thumbnail 9 a b", "--thumbnail 0 a b", "--thumbnail x a b"]
)
def test_wrong_usage(run: Run, arguments: str) -> None:
    result = run("desktop", *arguments.split())
    assert (result.code, result.out) == (2, b"") and "Usage: vqc desktop" in result.err


@needs("update-mime-database")
def test_the_desktop_knows_the_type(run: Run, home: Path) -> None:
    (match,) = ElementTree.parse(home / "mime" / "packages" / "vqc.xml").getroot().findall(".//{*}match")
    assert match.get("value", "").encode().decode("unicode_escape").encode("latin-1") == MAGIC
    assert f"50:{MIME_TYPE}:*.vqc\n" in (home / "mime" / "globs2").read_text()
    assert MAGIC in (home / "mime" / "magic").read_bytes()
    assert run("desktop", "--remove").code == 0
    assert MIME_TYPE not in (home / "mime" / "globs2").read_text()


def test_a_desktop_that_has_to_be_told(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert f"run it on {home / 'mime'}" in run("desktop", "--install").err
    assert "Exec=vqc desktop" in (home / "thumbnailers" / "vqc.thumbnailer").read_text()


@needs("file")
def test_file_knows_the_type(home: Path, packed: Path) -> None:
    command = ("file", "--brief", "-m", home / "vqc" / "vqc.magic")
    assert output(*command, packed) == "vqc compressed image, version 1\n"
    assert output(*command, "--mime-type", packed) == f"{MIME_TYPE}\n"


@pytest.mark.slow
def test_the_thumbnailer_makes_a_thumbnail(
    run: Run, home: Path, tmp_path: Path, shell: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", shell["PATH"])
    assert run("desktop", "--install").code == 0
    Image.linear_gradient("L").resize((200, 100)).save(tmp_path / "photo.png")
    packed, small = tmp_path / "photo.vqc", tmp_path / "small.png"
    assert run("compress", "-e", 0, tmp_path / "photo.png").code == 0
    lines = dict(line.split("=", 1) for line in (home / FILES[4]).read_text().splitlines()[1:])
    assert Path(lines["TryExec"]).is_absolute() and lines["MimeType"] == f"{MIME_TYPE};"
    program, *arguments = shlex.split(lines["Exec"])
    assert program == lines["TryExec"] and arguments[0] == "desktop"
    values = {"%s": "64", "%i": str(packed), "%o": str(small)}
    assert output(program, *(values.get(argument, argument) for argument in arguments)) == ""
    with Image.open(small) as image:
        assert (image.format, image.size) == ("PNG", (64, 32))
    assert says(run("desktop", "--thumbnail", 64, tmp_path / "photo.png", small), "not a .vqc file")
    assert says(run("desktop", "--thumbnail", 64, tmp_path / "missing.vqc", small), "missing.vqc does not exist")
    assert says(run("desktop", "--thumbnail", 64, packed, tmp_path / "no" / "x.png"), "create it first")


@needs("bash")
def test_bash_completes(home: Path, shell: Mapping[str, str]) -> None:
    script = f"source {home / FILES[0]}; COMP_WORDS=(vqc comp); COMP_CWORD=1; _vqc_completion vqc"
    assert output("bash", "-c", f'{script}; echo "${{COMPREPLY[@]}}"', env=shell) == "compress compare\n"
    script = script.replace("(vqc comp); COMP_CWORD=1", "(vqc compress --targ); COMP_CWORD=2")
    options = output("bash", "-c", f'{script}; echo "${{COMPREPLY[@]}}"', env=shell).split()
    assert options == ["--target-bpp", "--target-psnr", "--target-ssimulacra2"]


@needs("fish")
def test_fish_completes(home: Path, shell: Mapping[str, str]) -> None:
    said = output("fish", "--no-config", "-c", f"source {home / FILES[1]}; complete -C 'vqc comp'", env=shell)
    assert [line.split("\t")[0] for line in said.splitlines()] == ["compare", "compress"]


@needs("zsh")
def test_zsh_completes(home: Path, shell: Mapping[str, str]) -> None:
    stubs = "compdef() { }; compadd() { print -l -- $@ }; _describe() { print -l -- ${(P)3} }"
    script = f"{stubs}; source {home / FILES[6]}; words=(vqc comp); CURRENT=2; _vqc_completion"
    said = output("zsh", "-f", "-c", script, env=shell)
    assert [line.split(":")[0] for line in said.splitlines()] == ["compress", "compare"]


@needs("man")
def test_the_man_page_says_what_help_says(home: Path) -> None:
    environment = os.environ | {"MANWIDTH": "200", "LC_ALL": "C.UTF-8", "MANROFFOPT": ""}
    text = output("man", "--warnings", "-E", "UTF-8", "--no-hyphenation", "-l", home / FILES[2], env=environment)
    context = click.Context(vqc)
    for name in COMMANDS:
        command = vqc.get_command(context, name)
        assert command is not None and f"vqc {name} " in text
        options = [option for parameter in command.params for option in parameter.opts if option.startswith("-")]
        assert [option for option in options if option not in text] == []
    assert (
        "\n       Each output lies beside its input, with the suffix .vqc, unless -o says otherwise. The pixels" in text
    )
    assert "vqc compress - < photo.png > photo.vqc" in text, "examples keep their lines"


def test_troff_shows_lines_as_they_are() -> None:
    assert manual.escaped(".vqc files and a\\b --help") == "\\&.vqc files and a\\eb \\-\\-help"


def test_all_that_is_shared_is_in_the_package(home: Path) -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    folders = {path.parent.relative_to(desktop.SHARE.parent).as_posix() for path in desktop.SHARE.rglob("*.*")}
    assert [folder for folder in folders if f'"{folder}/*"' not in pyproject] == []
