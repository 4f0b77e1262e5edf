"""Collections: every file once, however often a run is ended, here, in stores and in shards; a manifest says all."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from collecting import NAMES, convert, files, lines, photos
from PIL import Image
from tiny import Run

from vqcodec.cli import items, manifest
from vqcodec.cli.decompress import _with_format
from vqcodec.errors import OutputError, VqcError

__all__ = ["convert", "photos"]


def test_a_folder_is_converted_and_the_manifest_says_how(photos: Path, tmp_path: Path, convert: Any, run: Run) -> None:
    done = convert(photos, tmp_path / "small", "--psnr")
    assert done.code == 0, done.err
    made, said = files(tmp_path / "small"), lines(tmp_path)
    assert sorted(made) == [f"{name}.vqc" for name in NAMES] and [facts["name"] for facts in said] == NAMES
    for facts in said:
        assert facts["bytes"] == len(made[f"{facts['name']}.vqc"]) and facts["quality"] == 50 and facts["psnr_db"] > 15
        assert (facts["width"], facts["height"]) == (56, 40)
        assert facts["input_bytes"] == len((photos / facts["name"]).read_bytes())
    assert "4 files" in done.err and "1 file left out, the first is" in done.err


def test_a_run_goes_on_where_another_was_ended(photos: Path, tmp_path: Path, convert: Any) -> None:
    assert convert(photos, tmp_path / "small").code == 0
    whole, record = files(tmp_path / "small"), (tmp_path / "done.jsonl").read_bytes()
    beginning, end = record.splitlines(keepends=True)[:3], record.splitlines(keepends=True)[3]
    # Ended while it wrote a line, and between a file and its line.
    (tmp_path / "done.jsonl").write_bytes(b"".join(beginning) + end[:20])
    (tmp_path / "small/deep/er/d.png.vqc").unlink()
    kept = (tmp_path / "small/a.png.vqc").stat().st_mtime_ns
    done = convert(photos, tmp_path / "small")
    assert done.code == 0 and "2 files" in done.err and "2 done before" in done.err
    assert files(tmp_path / "small") == whole and (tmp_path / "small/a.png.vqc").stat().st_mtime_ns == kept
    assert [facts["name"] for facts in lines(tmp_path)] == NAMES
    assert "0 files" in convert(photos, tmp_path / "small").err


def test_what_failed_is_said_and_tried_again(photos: Path, tmp_path: Path, convert: Any) -> None:
    good = (photos / "a.png").read_bytes()
    (photos / "a.png").write_bytes(b"no picture")
    done = convert(photos, tmp_path / "small")
    assert done.code == 1 and done.err.count("vqc: a.png") == 1 and "1 failed" in done.err
    assert "error" in lines(tmp_path)[0] and len(files(tmp_path / "small")) == 3
    (photos / "a.png").write_bytes(good)
    assert convert(photos, tmp_path / "small").code == 0
    assert sorted(facts["name"] for facts in lines(tmp_path)) == NAMES


def test_several_processes_make_the_same_files(photos: Path, tmp_path: Path, convert: Any) -> None:
    assert convert(photos, tmp_path / "one").code == 0
    (tmp_path / "done.jsonl").unlink()
    assert convert(photos, tmp_path / "two", "-j", 2).code == 0
    assert files(tmp_path / "two") == files(tmp_path / "one")
    assert sorted(facts["name"] for facts in lines(tmp_path)) == NAMES


def test_and_back_again(photos: Path, tmp_path: Path, convert: Any, run: Run, tiny_model: Path) -> None:
    assert convert(photos, tmp_path / "small").code == 0
    words = ["--model", tiny_model, "--manifest", tmp_path / "back.jsonl"]
    assert run("decompress", tmp_path / "small", "-o", tmp_path / "back", *words).code == 0
    assert sorted(files(tmp_path / "back")) == ["a.png", "b.PNG.vqc.png", "deep/c.png", "deep/er/d.png"]
    done = run("decompress", tmp_path / "small", "-o", photos, "--model", tiny_model, "--manifest", tmp_path / "new")
    assert done.code == 1 and "use -f to replace them" in done.err
    with Image.open(tmp_path / "back/a.png") as image:
        assert image.size == (56, 40) and image.format == "PNG"


def shard(photos: Path, path: Path, bad: bool = False) -> Path:
    with tarfile.open(path, "w") as made:
        for name in (*NAMES, "notes.txt") if bad else NAMES:
            made.add(photos / name, name)
        if bad:
            info = tarfile.TarInfo("bad.png")
            info.size = 4
            made.addfile(info, io.BytesIO(b"oops"))
    return path


def test_a_shard_becomes_a_shard(photos: Path, tmp_path: Path, convert: Any) -> None:
    source = shard(photos, tmp_path / "some.tar", bad=True)
    done = convert(source, tmp_path / "small")
    assert done.code == 1 and "1 failed" in done.err and "some.tar/bad.png" in done.err
    with tarfile.open(tmp_path / "small/some.tar") as made:
        assert made.getnames() == [f"{name}.vqc" for name in NAMES]
    said = lines(tmp_path)
    assert said[-1] == {"name": "some.tar", "files": 4, "failed": 1, "left_out": 1}
    assert {facts.get("shard") for facts in said[:-1]} == {"some.tar"} and "1 file left out" in done.err
    # What failed is tried again, and here is right now.
    shard(photos, tmp_path / "some.tar")
    assert convert(source, tmp_path / "small").code == 0
    assert "error" not in str(lines(tmp_path)) and len(lines(tmp_path)) == 5
    whole = (tmp_path / "done.jsonl").read_bytes()
    (tmp_path / "done.jsonl").write_bytes(whole[: whole[:-1].rindex(b"\n") + 1])  # ended before the shard's own line
    assert "done before" not in convert(source, tmp_path / "small").err
    assert (tmp_path / "done.jsonl").read_bytes() == whole
    assert "1 done before" in convert(source, tmp_path / "small").err


def test_shards_of_one_name_stay_two(photos: Path, tmp_path: Path, convert: Any) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        shard(photos, tmp_path / folder / "s.tar")
    assert convert(tmp_path / "{one,two}/s.tar", tmp_path / "small").code == 0
    assert sorted(files(tmp_path / "small")) == ["one/s.tar", "two/s.tar"]


@pytest.mark.parametrize("kept", [2 * 512, 2000, -1024])
def test_a_shard_that_is_cut_off_or_damaged_fails(photos: Path, tmp_path: Path, convert: Any, kept: int) -> None:
    source = shard(photos, tmp_path / "some.tar")
    whole = source.read_bytes().rstrip(b"\0")
    whole += bytes(-len(whole) % 512 + 1024)  # as tar needs it, and no more
    source.write_bytes(whole)
    assert convert(source, tmp_path / "small").code == 0
    (tmp_path / "done.jsonl").unlink()
    with tarfile.open(source) as archive:
        third = archive.getmembers()[2].offset
    for damaged in (whole[:kept], whole[:third], whole[: third + 100], whole[:third] + b"X" + whole[third + 1 :]):
        source.write_bytes(damaged)
        done = convert(source, tmp_path / "none")
        assert done.code == 1 and "get a whole copy of it" in done.err and not (tmp_path / "none").exists()


def test_originals_and_other_runs_are_safe(
    photos: Path, tmp_path: Path, convert: Any, run: Run, tiny_model: Path
) -> None:
    before = files(photos)
    (tmp_path / "link").symlink_to(photos)
    for output in (f"{photos}/.", tmp_path / "link", f"file://{photos}", photos / "../photos/small"):
        done = convert(photos, output, "-f")
        assert done.code == 1 and "would become a part" in done.err
    source = shard(photos, tmp_path / "some.tar")
    done = convert(source, f"{tmp_path}/./", "-f")
    assert done.code == 1 and "would become a part" in done.err
    assert convert(photos, tmp_path / "small").code == 0
    for other in ((photos, tmp_path / "other"), (tmp_path / "other", tmp_path / "small")):
        (tmp_path / "other").mkdir(exist_ok=True)
        assert "is the manifest of another run" in convert(*other).err
    assert "quality was" in convert(photos, tmp_path / "small", "-q", 90).err
    words = ["--model", tiny_model, "--manifest", tmp_path / "done.jsonl"]
    assert "another run (vqc was 'compress'" in run("decompress", tmp_path / "small", "-o", photos, *words).err
    assert files(photos) == before


def test_a_manifest_is_of_one_model_whatever_its_file_is_called(
    photos: Path, tmp_path: Path, run: Run, tiny_model: Path, context_model: Path
) -> None:
    words = ["--model", tmp_path / "model.safetensors", "--manifest"]
    for model, said in ((tiny_model, ""), (context_model, "is the manifest of another run (fingerprint was")):
        (tmp_path / "model.safetensors").write_bytes(model.read_bytes())
        done = run("compress", photos, "-o", tmp_path / "small", "-e", 1, *words, tmp_path / "done.jsonl")
        assert done.code == (1 if said else 0) and said in done.err
    back = ("decompress", tmp_path / "small", "-o", tmp_path / "back", *words, tmp_path / "back.jsonl")
    assert "4 failed" in run(*back).err  # it is the model of none of them
    (tmp_path / "model.safetensors").write_bytes(tiny_model.read_bytes())
    assert "is the manifest of another run (fingerprint was" in run(*back).err


def test_a_manifest_of_another_version_is_called_so(tmp_path: Path) -> None:
    head = {"vqc": "compress", "lossy": False, "psnr": False}
    path = tmp_path / "m.jsonl"
    for written, text in (
        ({"vqc": "compress", "psnr": False}, "the manifest of another version of vqc; name another file"),
        ({**head, "more": 1}, "the manifest of another version of vqc; name another file"),
        ({"vqc": "decompress", "format": ".png"}, "the manifest of another run (vqc was 'decompress'); name"),
        ({"lossy": False, "psnr": False}, "no manifest of vqc"),
    ):
        path.write_text(json.dumps(written) + "\n")
        before = path.read_bytes()
        with pytest.raises(VqcError, match=re.escape(f"{path} is {text}")):
            manifest.Manifest(path, head)
        assert path.read_bytes() == before


def test_two_runs_do_not_write_one_manifest(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    for _ in range(2):
        with manifest.Manifest(tmp_path / "m.jsonl", {"vqc": "test"}) as kept:
            with pytest.raises(OutputError, match="written by another run"):
                manifest.Manifest(tmp_path / "m.jsonl", {"vqc": "test"})
            kept.add([{"name": "a"}])


def test_names_that_differ_stay_different() -> None:
    names = ["a.png.vqc", "a.vqc", "a.png.VQC", "a.vqc.png.vqc", "a.VQC.png.vqc", "a.VQC", "a.jpg.vqc", "a.vqc.vqc"]
    made = [_with_format(name, ".png") for name in names]
    assert made[0] == "a.png" and len(set(made)) == len(names)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["photos", "photos", "-o", "small", "--manifest", "m"], "--manifest is of one folder"),
        (["photos", "--manifest", "m"], "--manifest is of one folder"),
        (["photos", "-o", "small", "--manifest", "m", "--skip-existing"], "leave that out"),
        (["photos", "-o", "small", "--engine", "ray"], "name their --manifest"),
        (["s3://bucket/photos", "-o", "small"], "name its --manifest"),
        (["photos", "-o", "photos/small", "--manifest", "m"], "is in"),
        (["photos", "-o", "small", "--manifest", "m", "--preserve"], "leave that out"),
        (["photos-{0..9.tar", "-o", "small", "--manifest", "m"], "nbalanced"),
        (["photos/a.png", "-o", "small", "--manifest", "m"], "no folder, shard or address"),
        (["photos/none.tar", "-o", "small", "--manifest", "m"], "does not exist"),
        (["photos", "-o", "small", "--manifest", "none/m"], "the folder none does not exist"),
        (
            ["photos", "-o", "small", "--manifest", "photos/notes.txt"],
            "line 1 of photos/notes.txt is none of a manifest",
        ),
        (["photos", "-o", "full", "--manifest", "m"], "use -f to replace them"),
        (["empty", "-o", "small", "--manifest", "m"], "nothing to do"),
        (["photos/a.png", "--psnr"], "--psnr is for a --manifest"),
    ],
)
def test_what_cannot_be(
    photos: Path, run: Run, tiny_model: Path, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    (photos / "notes.txt").write_text("no manifest")
    (photos / "table.jsonl").write_text('{"name": "a", "error": "of somebody"}\n')
    before = files(photos)
    for name in ("full", "empty"):
        Path(name).mkdir()
    Path("full/file").write_text("of somebody")
    done = run("compress", *words, "--model", tiny_model)
    assert done.code in (1, 2) and said in done.err
    assert not Path("small").exists() or not files(Path("small"))
    assert files(photos) == before


def test_a_manifest_keeps_any_name(tmp_path: Path) -> None:
    with manifest.Manifest(tmp_path / "m.jsonl", {"vqc": "test"}) as kept:
        kept.add([{"name": "a\udcff\n.png", "bytes": 1}])
    with manifest.Manifest(tmp_path / "m.jsonl", {"vqc": "test"}) as kept:
        assert kept.done == {"a\udcff\n.png"}


def test_a_folder_is_listed_while_it_is_done(photos: Path) -> None:
    kind = items.Kind(lambda name: name.lower().endswith(".png"), lambda name: name + ".vqc")
    left_out: list[str] = []
    found = items.items_of(str(photos), "out/", kind, items.Aside(left_out.append, lambda *_: None))
    first = next(found)
    (photos / "deep/later.png").write_bytes(b"")
    assert (first.name, first.target) == ("a.png", "out/a.png.vqc")
    assert [item.name for item in found] == ["b.PNG", "deep/c.png", "deep/later.png", "deep/er/d.png"]
    assert left_out == [str(photos / "notes.txt")]
