"""An original is never overwritten, and what is no picture is never named like one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tiny import Result, Run, picture

from vqcodec.files import spelling


def refused(result: Result, *texts: str) -> bool:
    """Whether a run failed with a sentence on stderr that holds the texts."""
    assert [text for text in texts if text not in result.err] == []
    return (result.code, result.out) == (1, b"")


@pytest.mark.parametrize("kind", ["itself", "symlink", "hardlink"])
@pytest.mark.parametrize("command", ["compress", "decompress", "tokens"])
def test_an_input_is_never_the_output(run: Run, packed: Path, tiny_model: Path, command: str, kind: str) -> None:
    # The suffix of the output is one that the command writes, so that nothing else refuses it.
    suffix = {"compress": "", "decompress": ".png", "tokens": ".npz"}[command]
    source = packed.with_name(f"original{suffix}")
    source.write_bytes((packed.with_suffix(".png") if command == "compress" else packed).read_bytes())
    target = source if kind == "itself" else source.with_name(f"link{suffix}")
    if kind != "itself":
        (target.symlink_to if kind == "symlink" else target.hardlink_to)(source)
    before = source.read_bytes()
    for force in ("-f", "--json"):
        result = run(command, force, source, "-o", target, "--model", tiny_model)
        assert refused(result, "itself, which is never overwritten")
    assert source.read_bytes() == before


def test_no_output_is_another_input_of_the_run(run: Run, photo: Path, packed: Path, tiny_model: Path) -> None:
    before = packed.read_bytes()
    result = run("compress", "-f", photo, packed, "--model", tiny_model)
    assert result.code == 1
    assert f"{packed} is the input {packed} itself" in result.err
    assert packed.read_bytes() == before


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="no /dev/stdin")
def test_stdin_is_an_input_too(photo: Path, tiny_model: Path) -> None:
    original = photo.with_name("original")
    photo.rename(original)
    before = original.read_bytes()
    command = [sys.executable, "-m", "vqcodec", "compress", "-f", "-", "-o", str(original), "--model", str(tiny_model)]
    with original.open("rb") as file:
        result = subprocess.run(command, stdin=file, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "never overwritten" in result.stderr
    assert original.read_bytes() == before


@pytest.mark.parametrize("name", ["other.jpg", "other.HEIC", "other.jxl", "other.dng"])
def test_no_picture_s_suffix_for_what_is_none(run: Run, photo: Path, tiny_model: Path, name: str) -> None:
    target = photo.with_name(name)
    for arguments in (
        ("compress", "-f", photo, "-o", target, "--model", tiny_model),
        ("compare", "-f", photo, "-o", target),
        ("train", "-f", photo, "-o", target),
    ):
        assert refused(run(*arguments), f"{name} has the suffix of a picture")
    assert [path.name for path in photo.parent.iterdir()] == ["photo.png"]


def test_a_page_or_model_replaces_no_input(run: Run, photo: Path) -> None:
    original = photo.rename(photo.with_name("original"))
    before = original.read_bytes()
    assert refused(run("compare", "-f", original, "-o", original), "never overwritten")
    assert refused(run("train", "-f", original, "-o", original), "never overwritten")
    assert original.read_bytes() == before


def test_decompress_beside_the_original_proposes_another_name(run: Run, packed: Path, tiny_model: Path) -> None:
    before = packed.with_suffix(".png").read_bytes()
    result = run("decompress", packed, "--model", tiny_model)
    assert refused(result, "photo.png exists and may be the original; choose another name", "photo.decoded.png")
    assert "-f" not in result.err
    assert packed.with_suffix(".png").read_bytes() == before


def test_decompress_names_an_existing_output_that_was_asked_for(run: Run, packed: Path, tiny_model: Path) -> None:
    other = packed.with_name("other.png")
    Image.fromarray(picture(20, 20, 1)).save(other)
    assert refused(run("decompress", packed, "-o", other, "--model", tiny_model), "exists; use -f to overwrite it")


@pytest.fixture
def folds_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let folders answer as those do that take capitals and spellings of accents for one."""

    def exists(path: Path, **_: bool) -> bool:
        beside = path.parent
        return beside.is_dir() and any(spelling(other) == spelling(path) for other in beside.iterdir())

    monkeypatch.setattr(Path, "exists", exists)


@pytest.mark.parametrize(("one", "other"), [("a", "A"), ("\u00e9", "e\u0301"), ("\u00c9", "e\u0301")])
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.usefixtures("folds_names")
def test_names_that_a_folder_takes_for_one(
    run: Run, tmp_path: Path, photo: Path, tiny_model: Path, one: str, other: str, jobs: int
) -> None:
    sources = [tmp_path / folder / f"{name}.png" for folder, name in (("x", one), ("y", other))]
    for source in sources:
        source.parent.mkdir()
        source.write_bytes(photo.read_bytes())
    out = tmp_path / "out"
    result = run("compress", "-f", "-j", jobs, *sources, "-o", f"{out}/", "--model", tiny_model)
    assert result.code == 1 and "would both become" in result.err
    assert [path.name for path in out.iterdir()] == [f"{one}.vqc"]


def test_names_that_a_folder_tells_apart(run: Run, tmp_path: Path, photo: Path, tiny_model: Path) -> None:
    (tmp_path / "probe").touch()
    if (tmp_path / "PROBE").exists():
        pytest.skip("capitals are one here")
    sources = [photo.with_name(name) for name in ("a.png", "A.png")]
    for source in sources:
        source.write_bytes(photo.read_bytes())
    out = tmp_path / "out"
    assert run("compress", "-f", *sources, "-o", f"{out}/", "--model", tiny_model).code == 0
    assert sorted(path.name for path in out.iterdir()) == ["A.vqc", "a.vqc"]


def test_links_to_one_file_are_one_output(run: Run, tmp_path: Path, photo: Path, tiny_model: Path) -> None:
    other = photo.with_name("other.png")
    other.write_bytes(photo.read_bytes())
    other.with_suffix(".vqc").symlink_to(photo.with_suffix(".vqc"))
    result = run("compress", "-f", photo, other, "--model", tiny_model)
    assert result.code == 1 and "would both become" in result.err
