"""Streamed pictures: the same window for the same step, each picture once an epoch, stores that fail now and then."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from streaming import levels, png, shards, tar
from tiny import Run, picture, tiny_settings

from vqcodec import ranks, training
from vqcodec.errors import InputError, SettingsError
from vqcodec.exact import model_file
from vqcodec.training import checkpoint, checkpoint_path
from vqcodec.training.pictures import streamed
from vqcodec.training.pictures.picture_set import load_pictures
from vqcodec.training.pictures.shards import Shard, find_shards
from vqcodec.training.pictures.streamed import StreamedPictures, stream_pictures
from vqcodec.training.recipe import make_settings

CPU = torch.device("cpu")
AUTOENCODER: dict[str, Any] = {"network": "vqvae", "quantizer": "vq", "K": 16, "d": 8, "steps": 6}
AUTOENCODER |= {"batch": 4, "crop": 32, "threads": 1}


def test_an_epoch_has_every_picture_once(tmp_path: Path) -> None:
    shards(tmp_path)
    pictures = StreamedPictures(find_shards([tmp_path])[0], 1, CPU, count=20)
    first, second = (levels(pictures.at(step, 40).pictures) for step in (0, 1))
    assert sorted(first) == sorted(second) == list(range(20)) and first != second
    assert len(pictures) == 20


def test_a_window_moves_with_the_steps_and_follows_from_the_step_alone(tmp_path: Path) -> None:
    shards(tmp_path)
    found = find_shards([tmp_path])[0]
    moving = StreamedPictures(found, 1, CPU, count=6)
    windows = [levels(moving.at(step, 4).pictures) for step in range(12)]
    assert all(after[:4] == before[2:] for before, after in pairwise(windows))
    for step in (11, 0, 5):
        assert levels(StreamedPictures(found, 1, CPU, count=6).at(step, 4).pictures) == windows[step]
        assert levels(moving.at(step, 4).pictures) == windows[step]
    assert levels(StreamedPictures(found, 2, CPU, count=6).at(0, 4).pictures) != windows[0]


def test_processes_have_different_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards(tmp_path)
    monkeypatch.setattr(ranks, "count", lambda: 2)
    parts = []
    for number in (0, 1):
        monkeypatch.setattr(ranks, "number", lambda number=number: number)
        parts += levels(StreamedPictures(find_shards([tmp_path])[0], 1, CPU, count=10).at(0, 4).pictures)
    assert sorted(parts) == list(range(20))
    with pytest.raises(SettingsError, match="1 shards cannot be divided among 2 processes"):
        StreamedPictures(find_shards([tmp_path / "shard-0.tar"])[0], 1, CPU)


def test_the_window_has_as_many_as_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = shards(tmp_path, 8, 10)
    assert stream_pictures(paths, CPU, 0).count == 80
    monkeypatch.setattr(streamed, "WINDOW_BYTES", 40 * 3 * 24 * 24)
    assert stream_pictures(paths, CPU, 0).count == 40


def test_held_out_pictures_are_not_trained_on(tmp_path: Path) -> None:
    rest, held = StreamedPictures(find_shards(shards(tmp_path, 2, 10))[0], 1, CPU, count=18).split(8)
    assert levels(held.pictures) == [0, 1] and sorted(levels(rest.at(0, 2).pictures)) == list(range(2, 20))


def test_one_picture_serves_as_both_and_none_is_there_twice(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(png(7))
    both = StreamedPictures(find_shards([tmp_path, tmp_path / "one.png"])[0], 1, CPU).split(8)
    assert [levels(pictures.at(0, 2).pictures) for pictures in both] == [[7], [7]]
    path = shards(tmp_path, 1)[0]
    none_held, shown = StreamedPictures(find_shards([path])[0], 1, CPU).split(0)
    assert levels(shown.pictures) == [0, 1, 2, 3] and len(none_held) == 5
    (tmp_path / "link.tar").symlink_to(path)
    assert sum(shard.count for shard in find_shards([tmp_path, path])[0]) == 6


def test_a_batch_of_more_than_the_window(tmp_path: Path) -> None:
    pictures = StreamedPictures(find_shards(shards(tmp_path))[0], 1, CPU, count=3)
    windows = [levels(pictures.at(step, 16).pictures) for step in range(5)]
    assert sorted(level for window in windows for level in window) == sorted(list(range(20)) * 2)


def test_loose_files_are_streamed_too(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / f"{n}.png").write_bytes(png(n))
    shards(tmp_path / "more", 1)
    found, others = find_shards([tmp_path])
    assert [shard.count for shard in found] == [3, 5] and not others.left_out
    with pytest.raises(InputError, match="no pictures were found"):
        (tmp_path / "empty").mkdir()
        stream_pictures([tmp_path / "empty"], CPU, 0)


def test_an_index_says_what_would_be_counted(tmp_path: Path) -> None:
    paths = shards(tmp_path, 2)
    index = tmp_path / "index.json"

    def says(*counts: Any) -> list[Shard]:
        listed = [{"url": path.name, "nsamples": count} for path, count in zip(paths, counts, strict=True)]
        index.write_text(json.dumps({"shardlist": listed}))
        return find_shards([index])[0]

    assert says(5, 5) == find_shards(paths)[0]
    with pytest.raises(InputError, match="has 5 pictures, and 6 were counted"):
        StreamedPictures(says(6, 6), 1, CPU, count=12).at(0, 2)
    for wrong in (0, "5", None):
        with pytest.raises(InputError, match="make it anew with widsindex"):
            says(5, wrong)
    for text in ("{}", "[" * 200_000):
        index.write_text(text)
        with pytest.raises(InputError, match="no index of shards"):
            find_shards([index])


def test_a_shard_that_ends_in_the_middle(tmp_path: Path, run: Run) -> None:
    path = shards(tmp_path, 1)[0]
    path.write_bytes(path.read_bytes()[:2000])
    done = run("train", path, "--stream", "--quantizer", "vq", "-o", tmp_path / "model.safetensors")
    assert done.code == 1 and done.err.startswith(f"vqc: {path} ends in the middle or is damaged; get a whole")
    path.write_bytes(b"no archive at all" * 100)
    with pytest.raises(InputError, match="is no .tar"):
        find_shards([path])


def test_a_damaged_shard_is_no_end_where_all_pictures_are_read_at_first(tmp_path: Path) -> None:
    path = shards(tmp_path, 1)[0]
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        third = archive.getmembers()[2].offset
    path.write_bytes(whole[:third] + b"X" + whole[third + 1 :])
    with pytest.raises(InputError, match="ends in the middle or is damaged"):
        load_pictures([path], CPU)


def test_what_cannot_be_decoded_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar({"0.png": png(0), "1.png": b"no picture", "2.png": png(2), "3.png": b""}))
    pictures = StreamedPictures(find_shards([path])[0], 1, CPU, count=4)
    assert levels(pictures.at(0, 2).pictures) == [0, 2]
    assert capsys.readouterr().err.count("a.tar:1.png is not a readable picture") == 1
    path.write_bytes(tar({"1.png": b"no picture"}))
    with pytest.raises(InputError, match="none of"):
        stream_pictures([path], CPU, 0)


def test_of_large_pictures_a_part_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "_LARGEST_SIDE", 16)
    pictures = StreamedPictures(find_shards(shards(tmp_path, 1))[0], 1, CPU, count=5)
    assert all(each.shape == (3, 16, 16) for each in pictures.at(0, 2).pictures)


def test_a_streamed_run_goes_on_as_if_it_had_not_been_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_FIT_CROPS", 8)
    folder = tmp_path / "pictures"
    folder.mkdir()
    members = {}
    for seed in range(6):
        data = io.BytesIO()
        Image.fromarray(picture(80, 90, seed)).save(data, "PNG")
        members[f"{seed}.png"] = data.getvalue()
    (folder / "a.tar").write_bytes(tar(members))
    for settings in (tiny_settings(stream=True), make_settings(None, AUTOENCODER | {"stream": True})):
        whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
        assert training.run([folder], whole, settings, resume=False)
        assert not training.run([folder], parts, settings, resume=False, stop_after=3)
        assert training.run([folder], parts, settings, resume=True)
        assert model_file.load(parts)[0].fingerprint == model_file.load(whole)[0].fingerprint


def test_a_shard_that_is_lost_in_the_middle_leaves_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "WINDOW_BYTES", 0)
    monkeypatch.setattr(streamed, "_FEWEST", 2)
    folder, output = tmp_path / "pictures", tmp_path / "model.safetensors"
    paths = shards(folder, 8)
    settings = tiny_settings(stream=True)
    first = find_shards([folder])[0]
    monkeypatch.setattr(streamed, "find_shards", lambda _: (first, find_shards([])[1]))
    for path in paths[1:]:
        path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="ends in the middle"):
        training.run([folder], output, settings, resume=False)
    assert checkpoint.read(checkpoint_path(output))["progress"]["step"] > 0 and not output.exists()


def test_a_shard_that_one_process_cannot_read_ends_all_with_its_name_and_a_checkpoint(tmp_path: Path) -> None:
    folder, output = tmp_path / "pictures", tmp_path / "model.safetensors"
    paths = shards(folder, 2, 200)
    index = {"shardlist": [{"url": path.name, "nsamples": 200} for path in paths]}
    (folder / "index.json").write_text(json.dumps(index))
    paths[1].write_bytes(paths[1].read_bytes()[:200_000])
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("kind = 'papers'\nK = 16\nm = 1\nd = 8\nbatch = 4\ncrop = 16\nsteps = 1000\n")
    words = ["train", folder / "index.json", "--recipe", recipe, "--processes", 2, "-o", output]
    code = "import sys; from vqcodec.training.pictures import streamed; streamed._MOST = 8\n"
    (tmp_path / "sitecustomize.py").write_text(code.split(";", 1)[1].strip())
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(
        [sys.executable, "-m", "vqcodec", *map(str, words)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and f"{paths[1]} ends in the middle" in done.stderr
    assert checkpoint.read(checkpoint_path(output))["progress"]["step"] > 0
