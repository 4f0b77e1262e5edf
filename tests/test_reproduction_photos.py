"""vqc reproduce on photographs: the papers' larger network, settings by data set, and one run from files to report."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tiny import Run as Cli
from tiny import picture

from vqcodec.exact import model_file
from vqcodec.reproduction import paper_tables, results, workbench
from vqcodec.reproduction.runs import choose
from vqcodec.reproduction.workbench import Workbench
from vqcodec.training.papers.settings import AutoencoderSettings
from vqcodec.training.pictures.datasets import Name

TINY = """
title = "A table"
source = "A paper"
datasets = ["cifar10", "photos"]
epochs = 1
note = "Of tests."
on.photos = { batch = 6, seed = 1, learning_rate = 0.5 }

[[rows]]
label = "LooC"
settings = { quantizer = "looc", K = 8, m = 4, batch = 3 }
on.photos = { m = 8, seed = 2 }
variants.l2 = { seed = 3 }
variants."beta, quick" = { beta = 2 }
quick = { K = 16, batch = 5 }
published.FFHQ = { psnr_db = 27.73 }

[[rows]]
label = "VQ"
settings = { quantizer = "vq", K = 8, table_bits = 10 }
on.photos = { d = 8, width = 4, batch = 1 }
published.FFHQ = { psnr_db = 22.24 }
"""
Pixels = npt.NDArray[np.uint8]
VQGAN, VQVAE = ("vqgan", 256), ("vqvae", 128)
ONE_STEP = 0.5


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One small table in place of the papers'."""
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "tiny.toml").write_text(TINY)
    monkeypatch.setattr(paper_tables, "FOLDER", tmp_path / "tables")


def settings_on(dataset: Name) -> dict[str, AutoencoderSettings]:
    """The settings of LooC's row and its variants on a data set."""
    return {entry.row.variant: entry.run.settings for entry in choose([], [dataset], "LooC") if entry.run}


def test_settings_differ_by_data_set_and_the_nearest_word_counts(table: None) -> None:
    photos, cifar = settings_on("photos"), settings_on("cifar10")
    said = {name: ((s.network, s.d), s.m, s.seed, s.batch, s.learning_rate) for name, s in photos.items()}
    assert said == {
        "": (VQGAN, 8, 2, 6, 0.5),
        "l2": (VQGAN, 8, 3, 6, 0.5),
        "beta, quick": (VQGAN, 8, 2, 8, 1e-3),
        "quick": (VQGAN, 8, 2, 5, 1e-3),
    }
    said = {name: ((s.network, s.d), s.m, s.seed, s.batch, s.learning_rate) for name, s in cifar.items()}
    assert said == {
        "": (VQVAE, 4, 42, 3, 3e-4),
        "l2": (VQVAE, 4, 3, 3, 3e-4),
        "beta, quick": (VQVAE, 4, 42, 8, 1e-3),
        "quick": (VQVAE, 4, 42, 5, 1e-3),
    }
    for settings, width in ((photos, 16), (cifar, 0)):
        assert [s.width for s in settings.values()] == [0, 0, width, width]
        assert [s.schedule for s in settings.values()] == ["constant", "constant", "cosine", "cosine"]
        assert [(s.K, s.beta) for s in settings.values()] == [(8, 1), (8, 1), (8, 2), (16, 1)]


def test_runs_on_photos_have_names_of_their_own(table: None) -> None:
    names = {name: {entry.run.name for entry in choose([], [name]) if entry.run} for name in ("photos", "cifar10")}
    assert [len(found) for found in names.values()] == [5, 5]
    hashes = [{name.split("-")[-1] for name in found} for found in names.values()]
    assert not hashes[0] & hashes[1] and all(name.startswith("photos-") for name in names["photos"])


def photographs(folder: Path) -> tuple[Pixels, Pixels]:
    """Two tiles to train on and one to test in a folder; the pixels of the photographs that they are cut from."""
    train, test = picture(300, 530, seed=1), picture(300, 300, seed=2)
    for split, pixels in (("train", train), ("test", test)):
        (folder / "photos" / split).mkdir(parents=True)
        Image.fromarray(pixels).save(folder / "photos" / split / "photo.png")
    return train, test


def test_photographs_are_trained_on_measured_and_reported(run: Cli, table: None, tmp_path: Path) -> None:
    train, test = photographs(tmp_path)
    output = tmp_path / "out.md"
    arguments = ("tiny", "--data", tmp_path, "--work", tmp_path / "work", "--only", "photos", "-o", output)
    done = run("reproduce", *arguments, "--rows", "^VQ", "--budget", ONE_STEP, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)["result"]
    crc = zlib.crc32(b"".join(tile.tobytes() for tile in (train[:256, :256], train[:256, 256:512], test[:256, :256])))
    assert found["data"] == f"photos: 2 pictures to train on, 1 to test, crc {crc:08x}"
    assert (found["steps"], found["train_pictures"], found["measured"]["pictures"]) == (1, 2, 1)
    assert found["measured"]["bpp"]["decoder"] == 3 / 256
    lossless = json.loads((tmp_path / "work" / "lossless-photos.json").read_text())
    assert lossless["pixels"] == 256**2 and lossless["pictures"] == 1
    text = output.read_text(encoding="utf-8")
    assert "(results/out-photos.png)" in text and (tmp_path / "results" / "out-photos.png").exists()
    assert "### tiny on photos" in text and "FFHQ: 22.24 dB" in text and "cifar10" not in text.split("## photos")[1]
    assert b"tiny    photos   VQ 8x8: 0.5 epochs" in run("reproduce", "--list", *arguments[:-2]).out


def test_quick_rows_begin_with_the_network_of_a_longer_run(
    table: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is trained first, and again where it is missing; on small pictures there is none."""
    photographs(tmp_path)
    monkeypatch.setattr(workbench, "START_EPOCHS", 2)
    monkeypatch.setitem(paper_tables.QUICK_ON, "photos", {"width": 4, "crop": 32})  # type: ignore[misc]
    chosen = {entry.row.variant: entry.run for entry in choose([], ["photos"], "LooC") if entry.run}
    row, begun = chosen["quick"], chosen["quick"].start
    assert begun is not None and begun.start is None and chosen["l2"].start is None
    assert all(entry.run.start is None for entry in choose([], ["cifar10"]) if entry.run)
    work = tmp_path / "work"
    bench, start = Workbench(tmp_path, work, 1.0), work / f"{begun.name}.safetensors"
    values, first = bench.bring(row, 1), results.read_run(work, begun.name)
    assert values is not None and first is not None
    assert (values["epochs"], first["epochs"]) == (1, 2)
    near, far = (model_file.load(work / f"{run.name}.safetensors")[1] for run in (row, begun))
    name = "network.before.weight"
    assert abs(near[name].astype(float) - far[name].astype(float)).max() < 2e-3
    # All runs have one seed, so only another start tells that the row has begun with this one.
    prints = []
    for epochs in (2, 3):
        monkeypatch.setattr(workbench, "START_EPOCHS", epochs)
        for path in (*work.glob(f"{row.name}*"), start):
            path.unlink()
        again = bench.bring(row, 1)
        assert again is not None and start.exists()
        prints.append(again["fingerprint"])
    assert prints[0] == values["fingerprint"] != prints[1]
