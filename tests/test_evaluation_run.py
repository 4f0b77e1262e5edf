"""vqc eval: going on after an interruption, and what is refused, skipped or left out."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from evaluating import evaluate, make_pictures, request
from PIL import Image
from tiny import Run, picture

from vqcodec.errors import OutputError, SettingsError
from vqcodec.evaluation import codecs, metrics
from vqcodec.evaluation.eval import measure, report
from vqcodec.evaluation.eval import run as evaluation
from vqcodec.evaluation.eval.journal import Journal

Row = dict[str, Any]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with three pictures."""
    return make_pictures(tmp_path / "pictures")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[measure.Task]:
    """A list of all that is measured from now on."""
    found: list[measure.Task] = []
    original = measure.measure

    def remember(task: measure.Task) -> Row:
        found.append(task)
        return original(task)

    monkeypatch.setattr(measure, "measure", remember)
    return found


def test_a_second_run_measures_only_what_is_new(pictures: Path, measured: list[measure.Task]) -> None:
    evaluate(request(pictures))
    assert len(measured) == 18
    measured.clear()
    evaluate(request(pictures))
    assert measured == []
    results = evaluate(request(pictures, codecs=["jpeg"], qualities=[20, 75]))
    assert {(task.codec, task.quality) for task in measured} == {("jpeg", 75)}
    assert len(results["rows"]) == 18 + 3
    measured.clear()
    results = evaluate(request(pictures, codecs=["jpeg"], qualities=[20], metrics=["haarpsi"]))
    assert {task.metrics for task in measured} == {("haarpsi",)}
    row = next(r for r in results["rows"] if r["codec"] == "jpeg" and r["quality"] == 20)
    assert set(row["metrics"]) == {"psnr", "ssim", "haarpsi"}


def interrupt(rows: Iterable[Row], total: int) -> Iterator[Row]:
    """Ctrl-C at the eighth row: one codec has two pictures then, the other one."""
    for number, row in enumerate(rows):
        if number == 7:
            raise KeyboardInterrupt
        yield row


def unfinished(codec: str, count: int) -> str:
    """The sentence on a codec that was measured on `count` of the three pictures."""
    return (
        f"{codec} was measured on {count} of 3 pictures, and its curve is of those alone; evaluate it again with all "
        "of them before comparing"
    )


def test_what_an_interrupted_run_left_of_another_codec_is_said(pictures: Path) -> None:
    """Its curve would stand beside the others' as if it were of the same pictures."""

    with pytest.raises(KeyboardInterrupt):
        evaluation.run(request(pictures), [].append, interrupt)
    notes: list[str] = []
    evaluate(request(pictures, codecs=["jpeg"]), notes)
    assert notes == [unfinished("webp", 1)]


def test_an_interrupted_run_goes_on(pictures: Path, measured: list[measure.Task]) -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluation.run(request(pictures), [].append, interrupt)
    journal = pictures.parent / "results" / "journal.jsonl"
    with journal.open("a") as file:
        file.write('{"picture": "a.png", "cod')  # as a crash would leave it
    measured.clear()
    whole = evaluate(request(pictures))
    assert len(measured) == 18 - 7
    assert len(whole["rows"]) == 18
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_two_jobs_give_what_one_gives(pictures: Path, tiny_model: Path) -> None:
    names = [str(tiny_model), "jpeg"]
    one = evaluate(request(pictures, codecs=names, output=pictures.parent / "one"))
    two = evaluate(request(pictures, codecs=names, output=pictures.parent / "two", jobs=2))
    figures = ("picture", "codec", "quality", "bytes", "metrics")
    assert [[row[key] for key in figures] for row in one["rows"]] == [
        [row[key] for key in figures] for row in two["rows"]
    ]
    assert two["machine"]["jobs"] == [2]


def test_other_pictures_are_refused(pictures: Path, run: Run) -> None:
    evaluate(request(pictures))
    output = pictures.parent / "results"
    shutil.copyfile(pictures / "a.png", pictures / "c.png")
    arguments = ("eval", pictures, "-o", output, "--codec", "jpeg", "--quality", "50", "--metrics", "psnr")
    refused = run(*arguments)
    assert refused.code == 1
    assert "holds results of other pictures; choose another folder, or -f" in refused.err
    assert run(*arguments, "-f").code == 0
    assert len(json.loads((output / "results.json").read_text())["rows"]) == 4


def test_a_folder_of_something_else_is_refused(pictures: Path) -> None:
    output = pictures.parent / "results"
    output.mkdir()
    (output / "report.html").write_text("mine")
    with pytest.raises(OutputError, match=r"report\.html but no journal"):
        evaluate(request(pictures))
    (output / "journal.jsonl").write_text("nonsense\n")
    with pytest.raises(OutputError, match="is not a journal"):
        evaluate(request(pictures))
    with pytest.raises(OutputError, match="cannot be made a folder"):
        evaluate(request(pictures, output=pictures / "a.png"))


def test_unreadable_pictures_are_skipped_and_counted(pictures: Path, run: Run) -> None:
    (pictures / "broken.png").write_bytes((pictures / "a.png").read_bytes()[:200])
    output = pictures.parent / "results"
    options = ("--codec", "jpeg", "--quality", "50", "--metrics", "psnr", "--json")
    result = run("eval", pictures, "-o", output, *options)
    assert result.code == 0
    assert "broken.png is skipped: " in result.err
    facts = json.loads(result.out)
    assert (facts["pictures"], facts["skipped"], facts["failures"]) == (3, 1, 0)
    assert "1 unreadable file was skipped" in (output / "report.html").read_text(encoding="utf-8")
    only = run("eval", pictures / "broken.png", "-o", pictures.parent / "other", *options)
    assert only.code == 1
    assert "no picture to measure" in only.err
    assert not (pictures.parent / "other").exists()


def test_a_codec_that_fails_is_reported_and_tried_again(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = codecs.WebP.encode

    def fail(self: codecs.WebP, pixels: metrics.Pixels, quality: float) -> bytes:
        if pixels.shape[0] < 10:
            raise ValueError("too flat")
        return original(self, pixels, quality)

    monkeypatch.setattr(codecs.WebP, "encode", fail)
    notes: list[str] = []
    results = evaluate(request(pictures), notes)
    assert [row["error"] for row in results["failures"]] == ["ValueError: too flat"] * 3
    failures = [f"below/small.png with webp at {q}: ValueError: too flat" for q in (20, 60, 90)]
    assert notes == [*failures, unfinished("webp", 2)]
    assert "below/small.png, webp at 20: ValueError: too flat" in (
        pictures.parent / "results" / "report.html"
    ).read_text(encoding="utf-8")
    monkeypatch.undo()
    notes.clear()
    assert evaluate(request(pictures), notes)["failures"] == []
    assert notes == []


def test_codecs_of_as_many_but_other_pictures_are_said_too() -> None:
    rows = [{"codec": "jpeg", "picture": name} for name in "ab"] + [{"codec": "webp", "picture": name} for name in "bc"]
    assert report.unfinished({"rows": rows}) == [unfinished("jpeg", 2), unfinished("webp", 2)]
    assert report.unfinished({"rows": rows[:2]}) == report.unfinished({"rows": []}) == []


def test_rows_of_a_codec_whose_settings_changed_are_dropped(tmp_path: Path) -> None:
    old = {"label": "X", "settings": {"fingerprint": "1"}}
    journal = Journal(tmp_path, {"a": "hash"})
    journal.declare({"x": old, "y": old})
    for name in ("x", "y"):
        journal.add({"picture": "a", "codec": name, "quality": 5, "metrics": {"psnr": 30.0}})
    again = Journal(tmp_path, {"a": "hash"})
    again.declare({"x": {"label": "X", "settings": {"fingerprint": "2"}}})
    assert [key[1] for key in again.rows] == ["y"]
    assert not again.has(("a", "x", 5), ())
    assert again.has(("a", "y", 5), ("psnr",))
    assert not again.has(("a", "y", 5), ("psnr", "ssim"))


def test_codecs_of_the_last_run_come_first_in_its_order(tmp_path: Path) -> None:
    """So that a table has them on top, even where another run had measured those they are compared with."""
    about: dict[str, dict[str, Any]] = {name: {"label": name, "settings": {}} for name in ("jpeg", "webp", "x", "y")}
    journal = Journal(tmp_path, {"a": "hash"})
    journal.declare({"jpeg": about["jpeg"], "x": about["x"], "webp": about["webp"]})
    again = Journal(tmp_path, {"a": "hash"})
    again.declare({"y": about["y"], "x": about["x"]})
    assert list(again.codecs) == ["y", "x", "jpeg", "webp"]
    assert list(Journal(tmp_path, {"a": "hash"}).codecs) == ["y", "x", "jpeg", "webp"]


def test_results_inside_the_pictures_folder_are_not_pictures(pictures: Path, measured: list[measure.Task]) -> None:
    wanted = request(pictures, output=pictures / "results")
    first = evaluate(wanted)
    assert evaluate(wanted)["pictures"] == first["pictures"]


def test_same_names_in_two_folders_stay_apart(pictures: Path) -> None:
    other = pictures.parent / "other"
    other.mkdir()
    Image.fromarray(picture(20, 20, seed=9)).save(other / "a.png")
    found = evaluation.find([pictures, other], pictures.parent / "results")
    assert sorted(found.paths) == sorted(["a.png", "b.png", "below/small.png", str(other / "a.png")])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file names")
def test_file_names_of_any_bytes_are_pictures_too(pictures: Path, run: Run) -> None:
    (pictures / "b.png").rename(pictures / os.fsdecode(b"\xff <b>.png"))
    (pictures / os.fsdecode(b"\xfe.png")).write_text("nothing")
    output = pictures.parent / "results"
    for jobs in (1, 2):
        result = run("eval", pictures, "-o", output, "--codec", "jpeg", "--quality", 40 + jobs, "--jobs", jobs)
        assert result.code == 0, result.err
    assert len(json.loads((output / "results.json").read_text(encoding="utf-8"))["rows"]) == 6


def test_default_codecs_leave_out_what_is_not_installed(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.setattr(evaluation, "DEFAULT_CODECS", (str(tiny_model), "jpeg", "jxl"))
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    found, notes = evaluation._open_codecs(())
    assert [codec.name for codec in found.values()] == ["tiny", "jpeg"]
    assert notes == ["jxl is left out: jxl needs the JPEG XL plugin; pip install 'vqcodec[jxl]'"]


def test_a_missing_library_is_named_before_anything_is_measured(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, measured: list[measure.Task]
) -> None:
    monkeypatch.setitem(sys.modules, "bjontegaard", None)
    with pytest.raises(SettingsError, match=r"needs bjontegaard; pip install 'vqcodec\[eval\]'"):
        evaluate(request(pictures))
    assert measured == []


@pytest.mark.parametrize(
    ("option", "value", "code", "words"),
    [
        ("--quality", "ten", 2, "is not a list of numbers"),
        ("--quality", "0", 1, "outside 1..100"),
        ("--quality", "10.5", 1, "jpeg takes whole numbers"),
        ("--metrics", "psrn", 1, "no metric 'psrn'"),
        ("--anchors", "hevc", 1, "no published curve 'hevc'"),
        ("--codec", "jpg", 1, "no codec 'jpg'"),
        ("--jobs", "0", 2, "--jobs"),
    ],
)
def test_wrong_options(option: str, value: str, code: int, words: str, pictures: Path, run: Run) -> None:
    result = run("eval", pictures, "-o", pictures.parent / "out", "--codec", "jpeg", option, value)
    assert result.code == code
    assert words in result.err
    assert not (pictures.parent / "out").exists()
