"""vqc reproduce: `conditional` is `all` coded otherwise, so one training makes both."""

from __future__ import annotations

from pathlib import Path

import pytest
from dataset_forms import made, write_xz
from tiny import Run as Cli

from vqcodec.reproduction import tables
from vqcodec.reproduction.results import Values
from vqcodec.reproduction.runs import choose, distinct
from vqcodec.reproduction.workbench import Workbench
from vqcodec.training.autoencoder import AutoencoderTrainer

TABLE = """
title = "Beta"
source = "A paper"
datasets = ["mnist"]
epochs = 2
note = ""

[[rows]]
label = "LooC"
settings = { quantizer = "looc", K = 8, m = 4, d = 16, beta = 2, batch = 3, table_bits = 10 }
variants.conditional = { mode = "conditional" }
variants.smooth = { mode = "smooth" }
published = {}
"""


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a few random pictures of MNIST's form; the table above is the only one."""
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "beta.toml").write_text(TABLE)
    monkeypatch.setattr(tables, "FOLDER", tmp_path / "tables")
    for split, count in (("train", 6), ("test", 4)):
        write_xz(tmp_path, *made("mnist", split, count), split)  # type: ignore[arg-type]
    return tmp_path


def brought(sets: Path, work: Path, mode: str) -> Values:
    """What was measured of the row with this mode in a work folder."""
    found = distinct(choose(["beta"])).values()
    values = Workbench(sets, work, 1.0).bring(*next(choice for choice in found if choice[0].settings.mode == mode))
    assert values is not None and values["settings"]["mode"] == mode and values["epochs"] == 2
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


def test_smooth_is_trained_by_itself(sets: Path) -> None:
    stored, smooth = (brought(sets, sets / "both", mode) for mode in ("all", "smooth"))
    assert stored["measured"]["lossless"] != smooth["measured"]["lossless"]
    assert len(list((sets / "both").glob("*.checkpoint"))) == 2


def test_what_is_begun_of_either_is_begun_of_both(run: Cli, sets: Path) -> None:
    brought(sets, sets / "both", "all")
    listed = run("reproduce", "--list", "--work", sets / "both").out.decode().splitlines()
    said = {line.split(":")[0].split("LooC ")[1]: line.split(": ")[1] for line in listed}
    assert said["8x4, conditional"] == "begun" and said["8x4, smooth"] == "to do" and "epochs" in said["8x4"]
