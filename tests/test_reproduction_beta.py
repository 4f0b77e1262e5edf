"""vqc reproduce: `conditional` is `all` coded otherwise, so one training makes both."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from dataset_forms import made, write_xz
from tiny import Run as Cli

from vqcodec.reproduction import paper_tables
from vqcodec.reproduction.results import Values
from vqcodec.reproduction.runs import choose, distinct
from vqcodec.reproduction.workbench import Workbench
from vqcodec.training.papers.loop import Autoencoder, AutoencoderTrainer
from vqcodec.training.papers.settings import AutoencoderSettings

TABLE = """
title = "Beta"
source = "A paper"
datasets = ["mnist"]
epochs = 2
note = ""

[[rows]]
label = "LooC"
settings = { quantizer = "looc", K = 8, m = 4, d = 16, beta = 2, batch = 3, table_bits = 10, schedule = "cosine" }
variants.conditional = { mode = "conditional" }
variants.smooth = { mode = "smooth" }
published = {}
"""


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a few random pictures of MNIST's form; the table above is the only one."""
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "beta.toml").write_text(TABLE)
    monkeypatch.setattr(paper_tables, "FOLDER", tmp_path / "tables")
    for split, count in (("train", 6), ("test", 4)):
        write_xz(tmp_path, *made("mnist", split, count), split)  # type: ignore[arg-type]
    return tmp_path


def brought(sets: Path, work: Path, mode: str, budget: float = 1.0) -> Values:
    """What was measured of the row with this mode in a work folder."""
    found = distinct(choose(["beta"])).values()
    values = Workbench(sets, work, budget).bring(*next(entry for entry in found if entry[0].settings.mode == mode))
    assert values is not None and values["settings"]["mode"] == mode and values["epochs"] >= 2 * budget
    return values


@pytest.mark.parametrize(("first", "second"), [("all", "conditional"), ("conditional", "all")])
def test_one_training_makes_both_and_pictures_are_the_same(
    sets: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    alone = brought(sets, sets / "alone", second)
    one = brought(sets, sets / "both", first)
    with monkeypatch.context() as patch:
        patch.setattr(AutoencoderTrainer, "step", lambda *_: pytest.fail("trained again"))
        two = brought(sets, sets / "both", second)
    assert two["fingerprint"] == alone["fingerprint"] != one["fingerprint"]
    assert one["measured"]["lossless"] == two["measured"]["lossless"]
    assert one["measured"]["bytes"] != two["measured"]["bytes"]


@pytest.mark.parametrize("first", ["all", "conditional"])
def test_a_smaller_budget_of_one_leaves_the_longer_training_of_the_other(sets: Path, first: str) -> None:
    """The learning rate falls towards the end of the longer one, which cannot be cut short."""
    longer = brought(sets, sets / "both", first, budget=2.0)
    shorter = brought(sets, sets / "both", "conditional" if first == "all" else "all", budget=0.5)
    assert shorter["epochs"] == longer["epochs"] == 4
    assert shorter["measured"]["lossless"] == longer["measured"]["lossless"]


def test_training_is_the_same_in_either_mode(tmp_path: Path) -> None:
    x = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = []
    for mode in ("all", "conditional"):
        settings = AutoencoderSettings(quantizer="looc", K=8, m=4, d=16, beta=2, mode=mode, steps=3)
        state = Autoencoder(settings, torch.device("cpu"))
        assert AutoencoderTrainer(state, lambda _: x, 0.07, tmp_path / mode).run()
        found.append({**state.network.state_dict(), **state.quantizer.state_dict()})
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_smooth_is_trained_by_itself(sets: Path) -> None:
    stored, smooth = (brought(sets, sets / "both", mode) for mode in ("all", "smooth"))
    assert stored["measured"]["lossless"] != smooth["measured"]["lossless"]
    assert len(list((sets / "both").glob("*.checkpoint"))) == 2


def test_what_is_begun_of_either_is_begun_of_both(run: Cli, sets: Path) -> None:
    brought(sets, sets / "both", "all")
    listed = run("reproduce", "--list", "--work", sets / "both").out.decode().splitlines()
    said = {line.split(":")[0].split("LooC ")[1]: line.split(": ")[1] for line in listed}
    assert said["8x4, conditional"] == "begun" and said["8x4, smooth"] == "to do" and "epochs" in said["8x4"]
