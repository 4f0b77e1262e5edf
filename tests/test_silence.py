"""What is left out or lost is said: in folders, of pictures, and when training is interrupted."""

from __future__ import annotations

import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, PngImagePlugin
from tiny import Run, picture, picture_set, tiny_settings

from vqcodec import folders, training
from vqcodec.errors import InputError
from vqcodec.evaluation.analyze.run import find_sources
from vqcodec.exact import model_file
from vqcodec.folders import list_folder
from vqcodec.image import list_pictures, read_picture
from vqcodec.training.photo.loop import Trainer
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.pictures.picture_set import load_pictures


def save(path: Path, **options: Any) -> Path:
    """Write a small picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(24, 30, seed=1)).save(path, **options)
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder with two pictures and eight other things."""
    folder = tmp_path / "mixed"
    save(folder / "one.PNG")
    save(folder / "deep" / "two.jpg")
    for name in ("a.psd", "b.tga", "c.DNG", "none", ".hidden.png", ".folder/three.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"something")
    (folder / "linked").symlink_to(folder / "deep", target_is_directory=True)
    (folder / "broken.png").symlink_to(folder / "missing.png")
    (folder / "link.png").symlink_to(folder / "one.PNG")
    return folder


def test_one_rule_for_all_that_is_in_a_folder(mixed: Path) -> None:
    found = list_pictures(mixed)
    assert [path.relative_to(mixed).as_posix() for path in found.files] == ["deep/two.jpg", "link.png", "one.PNG"]
    left_out = ["a.psd", "b.tga", "broken.png", "c.DNG", "linked", "none", ".folder", ".hidden.png"]
    assert [path.relative_to(mixed).as_posix() for path in found.left_out] == left_out
    assert found.errors == []


def test_left_out_files_are_counted_in_one_line(run: Run, mixed: Path, tiny_model: Path, tmp_path: Path) -> None:
    (mixed / "link.png").unlink()
    result = run("compress", "-r", mixed, "-o", tmp_path / "out", "--json", "--model", tiny_model)
    assert (result.code, len(result.out.splitlines())) == (0, 2)
    note, summary = result.err.splitlines()
    assert note == f"vqc: note: 8 files left out, the first is {mixed / 'a.psd'}" and "2 files, " in summary


def test_a_folder_without_any_picture_says_both(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "fake.psd").touch()
    result = run("compress", "-r", tmp_path, "--model", tiny_model)
    assert result.code == 1
    assert "holds no files" in result.err
    assert "1 file left out, the first is" in result.err


def test_suffixes_count_in_capitals_too(run: Run, packed: Path, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    packed.rename(tmp_path / "in" / "A.VQC")
    assert run("decompress", "-r", tmp_path / "in", "-o", tmp_path / "out", "--model", tiny_model).code == 0
    assert (tmp_path / "out" / "A.png").is_file()


@pytest.fixture
def locked(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, of which `deep` cannot be listed; said by a stand-in, since root may read everything."""
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(folders.os, "scandir", refuse)
    return mixed


def test_a_folder_that_cannot_be_read_is_an_error(run: Run, locked: Path, tiny_model: Path, tmp_path: Path) -> None:
    result = run("compress", "-r", locked, "-o", tmp_path / "out", "--model", tiny_model)
    assert result.code == 1
    assert f"the folder {locked / 'deep'} cannot be read: Permission denied" in result.err
    assert (tmp_path / "out" / "one.vqc").is_file()
    for read in (find_sources, lambda sources: load_pictures(sources, torch.device("cpu"))):
        with pytest.raises(InputError, match="deep cannot be read"):
            read([locked])


def test_training_and_analysis_say_what_they_leave_out(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_pictures([mixed], torch.device("cpu"))
    assert "8 files left out, the first is" in capsys.readouterr().err
    notes: list[str] = []
    find_sources([mixed], notes.append)
    assert notes == [f"8 files left out, the first is {mixed / 'a.psd'}"]


def test_files_of_one_suffix(tmp_path: Path) -> None:
    for name in ("a.VQC", "b.vqc", "c.png"):
        (tmp_path / name).touch()
    assert [path.name for path in list_folder(tmp_path, (".vqc",)).files] == ["a.VQC", "b.vqc"]


def encoded(format: str, **options: Any) -> bytes:
    """The bytes of a small picture with something beside its pixels."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, format, **options)
    return file.getvalue()


def text_of_png() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "somebody")
    return info


IPTC = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00\x00\x00\x00\x08\x1c\x02\x05\x00\x03abc"


def with_iptc(jpeg: bytes) -> bytes:
    """A JPEG with an IPTC block in its APP13 segment."""
    return jpeg[:2] + b"\xff\xed" + (len(IPTC) + 2).to_bytes(2, "big") + IPTC + jpeg[2:]


@pytest.mark.parametrize(
    ("data", "notes"),
    [
        (encoded("PNG", pnginfo=text_of_png()), ("texts are not kept",)),
        (encoded("JPEG", comment=b"a comment"), ("comments are not kept",)),
        (encoded("GIF", comment=b"a comment"), ("comments are not kept",)),
        (with_iptc(encoded("JPEG")), ("IPTC data are not kept",)),
        (encoded("JPEG", dpi=(300, 300)), ()),
        (encoded("PNG", dpi=(300, 300)), ()),
        (encoded("TIFF", dpi=(300, 300)), ()),
        (encoded("JPEG", dpi=(96, 96), comment=b"c"), ("comments are not kept",)),
        (encoded("BMP"), ()),
        (encoded("TIFF"), ()),
        (encoded("JPEG"), ()),
    ],
)
def test_every_kind_of_metadata_has_its_note(data: bytes, notes: tuple[str, ...]) -> None:
    assert read_picture(data).notes == notes


def test_compare_eval_and_analyze_show_the_notes_of_pictures(run: Run, tmp_path: Path, tiny_model: Path) -> None:
    path = tmp_path / "photos" / "photo.jpg"
    path.parent.mkdir()
    Image.fromarray(picture(176, 176, seed=1)).save(path, comment=b"a comment")
    result = run("compare", path, "-o", tmp_path / "page.html", "--bpp", 3, "--codec", "jpeg", "--model", tiny_model)
    assert (result.code, "comments are not kept" in result.err) == (0, True)
    result = run("analyze", tiny_model, path.parent, "-o", tmp_path / "analysis", "--json")
    assert (result.code, f"{path}: comments are not kept" in result.err) == (0, True)
    assert json.loads(result.out)["skipped_pictures"] == 0
    options = ("--codec", "jpeg", "--quality", "50", "--metrics", "psnr", "--jobs", "1")
    result = run("eval", path.parent, "-o", tmp_path / "results", *options)
    assert (result.code, "photo.jpg: comments are not kept" in result.err) == (0, True)


@pytest.mark.parametrize("where", ["start", "_start_rate", "_finish_rate"])
def test_ctrl_c_in_long_work_stops_at_once_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    folder, whole, parts = tmp_path / "in", tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    for seed in range(3):
        folder.mkdir(exist_ok=True)
        Image.fromarray(picture(80, 90, seed)).save(folder / f"{seed}.png")
    assert training.run([folder], whole, tiny_settings(), resume=False)

    def pressed(self: Trainer) -> None:
        signal.raise_signal(signal.SIGINT)
        pytest.fail("went on after Ctrl-C")

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, where, pressed)
        assert not training.run([folder], parts, tiny_settings(), resume=False)
    assert training.checkpoint_path(parts).is_file()
    assert training.run([folder], parts, tiny_settings(), resume=True)
    assert model_file.load(whole)[0].fingerprint == model_file.load(parts)[0].fingerprint


def test_the_first_ctrl_c_answers_and_the_second_keeps_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def twice(*_: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        assert "stopping after this step" in capsys.readouterr().err
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Trainer, "shown", twice)
    state, pictures = TrainingState(tiny_settings(), torch.device("cpu")), picture_set()
    assert not Trainer(state, pictures, pictures, tmp_path / "checkpoint").run()
    assert (tmp_path / "checkpoint").is_file()
