"""vqc tokens and vqc sample: what they write, and what they say of wrong use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from tiny import Run

from vqcodec.exact.bitstream import container


def pixels_of(path: Path) -> npt.NDArray[Any]:
    return np.asarray(Image.open(path))


def test_a_file_comes_back_the_same_byte_for_byte(run: Run, packed: Path, tiny_model: Path, tmp_path: Path) -> None:
    npz, vqc, png = (tmp_path / f"back.{suffix}" for suffix in ("npz", "vqc", "png"))
    assert run("tokens", packed, "-o", npz, "--model", tiny_model).code == 0
    assert run("tokens", "--back", npz, "-o", vqc, "--model", tiny_model).code == 0
    assert vqc.read_bytes() == packed.read_bytes()
    assert run("tokens", "--back", npz, "-o", png, "--model", tiny_model).code == 0
    assert run("decompress", packed, "-o", tmp_path / "direct.png", "--model", tiny_model).code == 0
    assert np.array_equal(pixels_of(png), pixels_of(tmp_path / "direct.png"))


def test_the_indices_of_a_picture_are_those_of_its_file(
    run: Run, photo: Path, packed: Path, tiny_model: Path, tmp_path: Path
) -> None:
    done = run("tokens", photo, "--model", tiny_model, "--json", "-o", tmp_path / "a.npz")
    facts = json.loads(done.out)
    assert (facts["width"], facts["height"]) == (101, 70)
    assert run("tokens", "-", "--model", tiny_model, stdin=packed.read_bytes()).out[:2] == b"PK"
    assert run("tokens", packed, "--model", tiny_model).code == 0
    with np.load(tmp_path / "a.npz") as one, np.load(packed.with_suffix(".npz")) as other:
        assert list(one["indices"].shape) == facts["indices"]
        assert one["quality"] == 50 and all(np.array_equal(one[key], other[key]) for key in one.files)


def test_folders_go_there_and_back(run: Run, photo: Path, packed: Path, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    photo.rename(tmp_path / "in" / "one.png")
    packed.rename(tmp_path / "in" / "two.vqc")
    common = ("--model", tiny_model, "-r")
    assert run("tokens", tmp_path / "in", "-o", tmp_path / "arrays", "-q", "30", *common).code == 0
    assert run("tokens", tmp_path / "in", "-o", tmp_path / "arrays", *common).code == 1, "they are there"
    (tmp_path / "arrays" / "three.npz").write_bytes(b"PK and nothing else")
    done = run("tokens", "--back", tmp_path / "arrays", "-o", tmp_path / "out", *common, "-f")
    assert done.code == 1 and "three.npz" in done.err and done.err.count("vqc:") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.vqc", "two.vqc"]
    assert (tmp_path / "out" / "two.vqc").read_bytes() == (tmp_path / "in" / "two.vqc").read_bytes()
    assert container.read((tmp_path / "out" / "one.vqc").read_bytes()).header.quality == 30


def test_arrays_are_not_made_of_arrays(run: Run, packed: Path, tiny_model: Path, tmp_path: Path) -> None:
    assert run("tokens", packed, "--model", tiny_model).code == 0
    done = run("tokens", packed.with_suffix(".npz"), "-o", tmp_path / "again.npz", "--model", tiny_model)
    assert done.code == 1 and "--back" in done.err and not (tmp_path / "again.npz").exists()


def test_wrong_use_of_tokens_is_a_sentence(run: Run, photo: Path, packed: Path, tiny_model: Path) -> None:
    for arguments, said in (
        ((photo, "-o", photo.with_suffix(".txt"), "--model", tiny_model), "is no .npz"),
        (("--back", photo, "-o", photo.with_suffix(".txt"), "--model", tiny_model), "no suffix of a picture"),
        (("--back", photo, "-o", photo.with_suffix(".jpg"), "--model", tiny_model), "cannot be read"),
        ((packed,), "name its file with --model"),
        ((photo.parent, "--model", tiny_model), "is a folder"),
        ((photo.parent / "none.png",), "does not exist"),
    ):
        done = run("tokens", *arguments)
        assert done.code == 1 and said in done.err and done.err.count("\n") == 1, done.err
    assert not photo.with_suffix(".txt").exists() and not photo.with_suffix(".npz").exists()


def test_a_sample_is_the_same_picture_in_every_form(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / f"sample.{suffix}" for suffix in ("vqc", "npz", "png")]
    common = ("--size", "90x70", "-q", "60", "--seed", "4", "--model", tiny_model)
    lines = [json.loads(run("sample", "-o", output, *common, "--json").out) for output in outputs]
    vqc, npz, png = outputs
    assert {line["vqc_bytes"] for line in lines} == {vqc.stat().st_size}
    assert run("decompress", vqc, "-o", tmp_path / "direct.png", "--model", tiny_model).code == 0
    assert np.array_equal(pixels_of(png), pixels_of(tmp_path / "direct.png")) and pixels_of(png).shape == (70, 90, 3)
    assert run("tokens", "--back", npz, "-o", tmp_path / "back.vqc", "--model", tiny_model).code == 0
    assert (tmp_path / "back.vqc").read_bytes() == vqc.read_bytes()
    piped = run("sample", "-o", "-", *common)
    assert piped.out == vqc.read_bytes() and "stdout: 90 x 70" in piped.err
    assert run("sample", "-o", vqc, *common, "-f").code == 0 and run("sample", "-o", vqc, *common).code == 1


def test_wrong_use_of_sample_is_a_sentence(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.png"
    there.write_bytes(b"mine")
    for arguments, said in (
        (("-o", tmp_path / "a.png", "--size", "90"), "--size 90 is not a width and height"),
        (("-o", tmp_path / "a.png", "--size", "0x10"), "width=0"),
        (("-o", tmp_path / "a.png", "--size", "9" * 5000 + "x1"), "is not a width and height"),
        (("-o", tmp_path / "a.png", "--size", "65535x65535"), "at most 2"),
        (("-o", tmp_path / "a.doc"), "a.doc has no suffix of a picture"),
        (("-o", there), "exists"),
    ):
        done = run("sample", *arguments, "--model", tiny_model)
        assert done.code == 1 and said in done.err and done.err.count("\n") == 1, done.err
    assert there.read_bytes() == b"mine" and not (tmp_path / "a.png").exists()
