"""vqc reproduce: tables, runs that go on and are shared, and the report."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dataset_forms import made, write_strips, write_xz
from tiny import Run as Cli

from vqcodec.errors import InputError, OutputError, SettingsError, TrainingError
from vqcodec.reproduction import paper_tables, report, results, runs
from vqcodec.reproduction.runs import choose, distinct
from vqcodec.reproduction.workbench import Workbench
from vqcodec.training.pictures.images import Images

TINY = """
title = "A table"
source = "A paper"
datasets = ["mnist", "cifar10"]
epochs = 2
note = "Of tests."

[[rows]]
label = "LooC"
settings = { quantizer = "looc", K = 8, m = 4, d = 16, match = "cosine", batch = 3, table_bits = 10 }
variants.l2 = { match = "l2" }
published.mnist = { psnr_db = 37.58, ssim = 0.9976, l1 = 0.0062, rfid = 1.31 }
published.FFHQ = { psnr_db = 27.73 }

[[rows]]
label = "SQ-VAE"
settings = { quantizer = "sq", K = 8, d = 4, batch = 3, table_bits = 10 }
published.mnist = { rfid = 3.05, lpips = 0.0256 }

[[rows]]
label = "another"
published.mnist = { psnr_db = 25.0 }
"""
OTHER = """
title = "Another table"
source = "A paper"
datasets = ["mnist"]
epochs = 4
note = ""

[[rows]]
like = { table = "tiny", label = "LooC" }
label = "ours"
"""
TRAIN, TEST = 6, 4


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few random pictures of MNIST's and CIFAR-10's form, the last of which is a stand-in."""
    folder = tmp_path_factory.mktemp("sets")
    for split, count in (("train", TRAIN), ("test", TEST)):
        write_xz(folder, *made("mnist", split, count), split)  # type: ignore[arg-type]
        exact = {"exact": np.arange(count) < (count if split == "train" else TEST - 1)}
        write_strips(folder, *made("cifar10", split, count), split, exact)  # type: ignore[arg-type]
    return folder


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small tables in place of the papers'."""
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "tiny.toml").write_text(TINY)
    (tmp_path / "tables" / "other.toml").write_text(OTHER)
    monkeypatch.setattr(paper_tables, "FOLDER", tmp_path / "tables")


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Ctrl-C be pressed during a step."""
    batch = Images.batch

    def pressed(self: Images, number: int) -> torch.Tensor:
        if number == step:
            os.kill(os.getpid(), signal.SIGINT)
        return batch(self, number)

    monkeypatch.setattr(Images, "batch", pressed)


def fingerprints(work: Path) -> dict[str, str]:
    """The fingerprints of all models that were measured."""
    found = {name: results.read_run(work, name) for name in distinct(choose([]))}
    return {name: values["fingerprint"] for name, values in found.items() if values}


def trained(sets: Path, work: Path, budgets: tuple[float, ...], pattern: str) -> dict[str, str]:
    """The fingerprints of runs on MNIST after a budget, or one after the other."""
    for budget in budgets:
        for run, epochs in distinct(choose(["tiny"], ["mnist"], pattern)).values():
            values = Workbench(sets, work, budget).bring(run, epochs)
            assert values is not None and values["epochs"] == budget * epochs
    return fingerprints(work)


def test_the_name_of_a_run_says_what_it_is_and_not_how_long_it_lasts(small: None) -> None:
    run = choose(["tiny"], ["mnist"], "looc")[0].run
    assert run is not None
    longer = runs.Run("mnist", type(run.settings)(**{**vars(run.settings), "steps": 7, "threads": 3, "data": "x"}))
    other = runs.Run("mnist", type(run.settings)(**{**vars(run.settings), "seed": 7}))
    assert longer.name == run.name != other.name
    assert runs.Run("fashion", run.settings).name.split("-")[-1] != run.name.split("-")[-1]


def test_an_interrupted_run_goes_on_and_ends_the_same(
    cli: Cli, small: None, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts, output = tmp_path / "whole", tmp_path / "parts", tmp_path / "out.md"
    expected = trained(sets, whole, (1.0,), "l2")
    arguments = ("reproduce", "tiny", "--data", sets, "--work", parts, "--only", "mnist", "--rows", "l2", "-o", output)
    with monkeypatch.context() as patch:
        interrupt_at(1, patch)
        first = cli(*arguments)
    assert first.code == 130 and "the same command goes on" in first.err
    assert [path.suffix for path in parts.iterdir()] == [".checkpoint"] and not output.exists()
    assert b"LooC 8x4, l2: begun" in cli("reproduce", "--list", "--work", parts).out
    used = torch.get_num_threads()
    torch.set_num_threads(used + 1)
    second = cli(*arguments, "--threads", used)
    assert second.code == 0, second.err
    assert torch.get_num_threads() == used
    assert fingerprints(parts) == expected and len(expected) == 1
    assert b"2 epochs" in second.out and output.exists()


@pytest.mark.parametrize("pattern", ["looc.*l2", "sq"])
def test_a_larger_budget_ends_where_one_run_would(small: None, sets: Path, tmp_path: Path, pattern: str) -> None:
    """LooC goes on from its checkpoint; SQ-VAE, which anneals, starts anew."""
    once, twice = (
        trained(sets, tmp_path / name, budgets, pattern) for name, budgets in (("a", (1.0,)), ("b", (0.5, 1.0)))
    )
    assert once == twice and len(once) == 1
    checkpoint = next((tmp_path / "b").glob("*.checkpoint"))
    log = torch.load(checkpoint, weights_only=True)
    assert log["progress"]["step"] == 4


def test_what_is_there_is_not_done_again(
    small: None, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = trained(sets, tmp_path / "work", (1.0,), "l2")
    run, epochs = next(iter(distinct(choose(["tiny"], ["mnist"], "l2")).values()))
    bench = Workbench(sets, tmp_path / "work", 0.5)
    with monkeypatch.context() as patch:
        patch.setattr("vqcodec.reproduction.workbench.measure", lambda *_: pytest.fail("measured again"))
        found = bench.bring(run, epochs)
    assert found is not None and found["epochs"] == 2
    path = tmp_path / "work" / f"{run.name}.json"
    path.write_text(json.dumps(found | {"fingerprint": "of an earlier model", "measured": {}}))
    again = bench.bring(run, epochs)
    assert again is not None and again["measured"] and fingerprints(tmp_path / "work") == expected


def test_other_pictures_and_damage_are_refused(small: None, sets: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    trained(sets, work, (1.0,), "l2")
    run, epochs = next(iter(distinct(choose(["tiny"], ["mnist"], "l2")).values()))
    write_xz(tmp_path, *made("mnist", "train", TRAIN), "train")
    write_xz(tmp_path, *made("mnist", "test", TEST + 1), "test")
    with pytest.raises(SettingsError, match="of other pictures"):
        Workbench(tmp_path, work, 1.0).bring(run, epochs)
    result = work / f"{run.name}.json"
    later = json.dumps(json.loads(result.read_text()) | {"format": 2})
    result.unlink()
    with pytest.raises(SettingsError, match="checkpoint is of other pictures"):
        Workbench(tmp_path, work, 1.0).bring(run, epochs)
    checkpoint = work / f"{run.name}.safetensors.checkpoint"
    values = torch.load(checkpoint, weights_only=True)
    values["settings"]["learning_rate"] = 1.0
    for damage in (lambda: torch.save(values, checkpoint), lambda: checkpoint.write_bytes(b"no checkpoint")):
        damage()
        with pytest.raises(InputError, match="delete it, and the run starts anew"):
            Workbench(sets, work, 1.0).bring(run, epochs)
    for text in ('{"format": 1', '{"format": 1}', "[]", later):
        result.write_text(text)
        with pytest.raises(InputError, match=f"{run.name}.json is .*delete it"):
            Workbench(sets, work, 1.0).bring(run, epochs)
    with pytest.raises(OutputError, match="cannot be made a folder"):
        Workbench(sets, result, 1.0)


def test_the_report_has_rows_plots_and_what_was_published(cli: Cli, small: None, sets: Path, tmp_path: Path) -> None:
    work, output = tmp_path / "work", tmp_path / "docs" / "again.md"
    output.parent.mkdir()
    common = ("--work", work, "-o", output)
    done = cli("reproduce", "tiny", "--data", sets, "--budget", 0.5, "--rows", "8x4$|sq", *common, "--json")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [(line["dataset"], line["row"]) for line in lines] == [
        (dataset, row) for dataset in ("mnist", "cifar10") for row in ("LooC 8x4", "SQ-VAE 8x4")
    ]
    psnr = lines[0]["result"]["measured"]["papers"]["psnr_db"]
    text = output.read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    head = rows[0]
    first = dict(zip(head, next(row for row in rows if row[0] == "LooC"), strict=True))
    assert (first["K × d*"], first["batch"], first["epochs"], first["steps"]) == ("8 × 4", "3", "1", "2")
    assert first["paper"] == "37.58 dB, SSIM 0.9976, L1 0.0062" and first["PSNR, papers'"] == f"{psnr:.2f}"
    assert first["difference"].split()[0] == f"{psnr - 37.58:.2f}".replace("-", "−")
    assert (first["bpp, paper"], first["bpp, decoder"]) == ("0.750", "0.750")  # 4 units of 3 bits for 16 pixels
    said = {(row[0], row[head.index("paper")]) for row in rows if len(row) == len(head)}
    assert {("SQ-VAE", "rFID 3.05, LPIPS 0.0256"), ("LooC", "FFHQ: 27.73 dB"), ("another", "25.00 dB")} <= said
    assert ["another", "–"] in [row[:2] for row in rows] and "LooC, l2" not in text, "variants without a result"
    assert "ours" in [row[0] for row in rows], "another table has the same run"
    assert "cifar10: 6 pictures to train on, 3 to test" in text
    for dataset in ("mnist", "cifar10"):
        assert f"(results/again-{dataset}.png)" in text
        assert (output.parent / "results" / f"again-{dataset}.png").read_bytes().startswith(b"\x89PNG")
    before = {path: path.read_bytes() for path in output.parent.rglob("*.*")}
    assert cli("reproduce", "--report", *common).out.decode() == f"{output}: 4 runs\n"
    assert {path: path.read_bytes() for path in output.parent.rglob("*.*")} == before
    listed = cli("reproduce", "--list", "tiny", "--work", work).out.decode().splitlines()
    assert [line.split(": ")[1].split(" epochs")[0] for line in listed] == ["1", "to do", "1", "not built here"] * 2
    facts = json.loads(cli("reproduce", "--list", "other", "--rows", "l2", "--work", work, "--json").out)
    assert (facts["table"], facts["row"], facts["result"]) == ("other", "ours 8x4, l2", None)


def test_a_run_that_diverges_is_named_and_the_others_are_done(
    cli: Cli, small: None, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring = Workbench.bring

    def failing(bench: Workbench, run: Any, epochs: int) -> Any:
        if run.settings.quantizer == "sq":
            raise TrainingError("the loss of step 1 is nan")
        return bring(bench, run, epochs)

    monkeypatch.setattr(Workbench, "bring", failing)
    output = tmp_path / "out.md"
    common = ("--data", sets, "--only", "mnist", "--work", tmp_path / "work", "-o", output, "--rows", "sq|l2")
    done = cli("reproduce", "tiny", "--budget", 0.5, *common)
    assert done.code == 1 and output.exists() and "out.md: 1 run\n" in done.out.decode()
    assert "mnist-sq-" in done.err and "the loss of step 1 is nan" in done.err


def test_mistakes_are_named_in_a_sentence(cli: Cli, small: None, sets: Path, tmp_path: Path) -> None:
    work = ("--work", tmp_path / "work", "-o", tmp_path / "out.md")
    for arguments, code, said in (
        (("nine", "--data", sets), 1, "no table 'nine'; choose from other, tiny"),
        (("tiny", "--data", sets, "--only", "svhn"), 1, "no data set 'svhn'; choose from mnist, fashion, cifar10"),
        (("tiny", "--data", sets, "--only", "fashion"), 1, "tiny has no rows on fashion"),
        (("tiny", "--data", sets, "--rows", "gumbel"), 1, "no row is like 'gumbel'; --list shows"),
        (("tiny", "--data", sets, "--rows", "("), 1, "not a regular expression"),
        (("tiny", "--data", tmp_path / "none"), 1, "is not a folder; name the one that holds the files of mnist"),
        (("tiny", "--data", sets, "--budget", 0), 2, "--budget"),
        (("--report",), 1, "holds no results of vqc reproduce"),
        (("--report", "tiny"), 2, "leave the tables out"),
        (("--report", "--list"), 2, "exclude one another"),
        (("tiny",), 2, "--data FOLDER is missing, a folder with mnist: its four idx files from https://"),
        (("tiny", "--data", tmp_path), 1, "ubyte (or .gz); name the folder that has, or get its four idx files"),
        ((), 2, "name a table"),
    ):
        failed = cli("reproduce", *arguments, *work)
        assert failed.code == code and said in failed.err, arguments
    assert not (tmp_path / "out.md").exists()


def test_a_report_replaces_only_a_report(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Another text")
    with pytest.raises(OutputError, match="is not a report of vqc reproduce"):
        report.check_replaceable(tmp_path / "README.md")
    (tmp_path / "old.md").write_text(report.TITLE + "\n\nOf last week.")
    report.check_replaceable(tmp_path / "old.md")
    with pytest.raises(OutputError, match="does not exist; create it first"):
        report.check_replaceable(tmp_path / "none" / "new.md")


@pytest.fixture
def cli(run: Cli) -> Cli:
    """Run `vqc ARGUMENTS`; here a run is something else."""
    return run


def test_a_row_like_another_has_its_settings_and_figures(small: None) -> None:
    values: dict[str, Any] = dict(paper_tables.load("other").rows[0].published)
    assert values == dict(paper_tables.load("tiny").rows[0].published)
    assert [row.method for row in paper_tables.load("other").rows] == ["ours", "ours, l2"]
    shared = distinct(choose(["other", "tiny"], ["mnist"], "l2"))
    assert [epochs for _, epochs in shared.values()] == [4], "the longer of the two"
