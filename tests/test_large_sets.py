"""The papers' larger data sets: twenty pictures laid out like each, how they are split and shown, a row trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from tiny import Run as Cli
from tiny import picture

from vqcodec.codec import Codec
from vqcodec.errors import InputError
from vqcodec.exact import model_file
from vqcodec.generation import run as generation
from vqcodec.reproduction import paper_tables
from vqcodec.training.papers import export
from vqcodec.training.papers.loop import Autoencoder
from vqcodec.training.papers.settings import AutoencoderSettings
from vqcodec.training.pictures.datasets import LARGE, Name, load_dataset
from vqcodec.training.pictures.images import Images, to_pictures
from vqcodec.training.pictures.large_sets import PictureFiles

LAYOUTS: dict[Name, list[str]] = {
    "ffhq": [f"ffhq/images1024x1024/{i // 10:05}/{i:05}.png" for i in range(20)],
    "celebahq": [f"CelebAMask-HQ/CelebA-HQ-img/{i}.jpg" for i in range(20)],
    "imagenet": [
        *(f"imagenet/train/n0{i % 3}/n0{i % 3}_{i}.JPEG" for i in range(14)),
        *(f"imagenet/val/ILSVRC2012_val_{i:08}.JPEG" for i in range(6)),
    ],
    "ade20k": [
        *(f"ADEChallengeData2016/images/training/ADE_train_{i:08}.jpg" for i in range(14)),
        *(f"ADEChallengeData2016/images/validation/ADE_val_{i:08}.jpg" for i in range(6)),
        "ADEChallengeData2016/annotations/training/ADE_train_00000000.png",
    ],
    "coco": [*(f"coco/train2017/{i:012}.jpg" for i in range(14)), *(f"coco/val2017/{i:012}.jpg" for i in range(6))],
    "cub": [f"CUB_200_2011/images/{i % 4:03}.Bird/Bird_{i}.jpg" for i in range(20)],
    "lsun-churches": [f"lsun/church_outdoor_{'train' if i < 14 else 'val'}/{i % 3}/{i}.webp" for i in range(20)],
    "lsun-bedroom": [f"LSUN/bedroom_{'train' if i < 14 else 'val'}/{i}.webp" for i in range(20)],
}
SPLITS = {"ffhq": (17, 3), "celebahq": (17, 3), "imagenet": (14, 6), "ade20k": (14, 6), "coco": (14, 6), "cub": (15, 5)}
SPLITS |= dict.fromkeys(("lsun-churches", "lsun-bedroom"), (14, 6))


def laid_out(folder: Path, name: Name) -> list[Path]:
    """Twenty small pictures laid out like a data set."""
    paths = [folder / path for path in LAYOUTS[name]]
    for i, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(40 + i, 60, seed=i)).save(path, "PNG")
    if name == "cub":
        root = folder / "CUB_200_2011"
        (root / "images.txt").write_text(
            "".join(f"{i + 1} {p.relative_to(root / 'images')}\n" for i, p in enumerate(paths))
        )
        (root / "train_test_split.txt").write_text("".join(f"{i + 1} {int(i % 4 > 0)}\n" for i in range(20)))
    return paths


def files_of(folder: Path, name: Name, split: str) -> PictureFiles:
    found = load_dataset(folder, name, split).pixels  # type: ignore[arg-type]
    assert isinstance(found, PictureFiles)
    return found


@pytest.mark.parametrize("name", LAYOUTS)
def test_twenty_pictures_laid_out_like_a_set_are_split_as_it_is(name: Name, tmp_path: Path) -> None:
    paths = laid_out(tmp_path, name)[:20]
    train, test = (files_of(tmp_path, name, split).paths for split in ("train", "test"))
    assert (len(train), len(test)) == SPLITS[name] and sorted([*train, *test]) == sorted(paths)
    if name in ("ffhq", "celebahq"):
        assert [path.stem.lstrip("0") for path in test] == ["17", "18", "19"], "10.jpg comes after 9.jpg"
    if name == "cub":
        assert {int(path.stem.split("_")[1]) % 4 for path in test} == {0}
    whole = load_dataset(tmp_path, name, "train")
    assert whole.exact.all() and len(whole.labels) == len(train)


def test_the_split_lists_of_vqgan_are_followed(tmp_path: Path) -> None:
    paths = laid_out(tmp_path, "ffhq")
    folder = tmp_path / "ffhq" / "images1024x1024"
    (folder / "ffhqtrain.txt").write_text("".join(f"{path.name}\n" for path in paths[5:]))
    (folder / "ffhqvalidation.txt").write_text("".join(f"00000/{path.name}\n" for path in paths[:5]))
    assert [files_of(tmp_path, "ffhq", split).paths for split in ("train", "test")] == [paths[5:], paths[:5]]
    paths[2].unlink()
    with pytest.raises(InputError, match=r"00002\.png is missing, although its data set names it"):
        load_dataset(tmp_path, "ffhq", "test")


def test_faces_of_one_set_are_trained_on_and_those_of_another_are_the_test(tmp_path: Path) -> None:
    laid_out(tmp_path, "ffhq")
    laid_out(tmp_path, "celebahq")
    for split, name in (("train", "ffhq"), ("test", "celebahq")):
        assert files_of(tmp_path, "ffhq-celebahq", split).paths == files_of(tmp_path, name, split).paths  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LARGE)
def test_what_is_missing_is_said_in_a_sentence(name: Name, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    Image.fromarray(picture(40, 40, seed=1)).save(tmp_path / "pictures" / "0.png")
    said = "ffhq" if name == "ffhq-celebahq" else name
    with pytest.raises(InputError, match=f"has no {said} to train on: none of .*; get .*https?://") as error:
        load_dataset(tmp_path, name, "train")
    assert "\n" not in str(error.value)


def test_a_heap_of_other_pictures_is_not_taken_for_a_set(tmp_path: Path) -> None:
    laid_out(tmp_path, "coco")
    with pytest.raises(InputError, match="has no celebahq"):
        load_dataset(tmp_path, "celebahq", "train")
    laid_out(tmp_path, "celebahq")
    assert len(files_of(tmp_path / "CelebAMask-HQ" / "CelebA-HQ-img", "celebahq", "train")) == 17


def test_a_picture_is_resized_by_its_shorter_side_and_its_middle_is_shown(tmp_path: Path) -> None:
    ramp = np.zeros((512, 1024, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(1024) // 4, (np.arange(512) // 2)[:, None]
    exact = picture(256, 256, seed=3)
    for name, pixels in (("wide", ramp), ("exact", exact)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    files = PictureFiles([tmp_path / "wide.png", tmp_path / "exact.png"])
    assert files.shape == (2, 256, 256, 3) and np.array_equal(files[1:][0], exact)
    wide = files[np.array([True, False])][0].astype(int)
    # At half the size a column is half as far from the middle, which is at 128 of 0..255.
    assert abs(wide[100, :, 0] - (64 + np.arange(256) / 2)).max() <= 1
    assert abs(wide[:, 100, 1] - np.arange(256)).max() <= 1


def test_batches_and_variance_are_those_of_the_pictures_in_memory(tmp_path: Path) -> None:
    files = PictureFiles(laid_out(tmp_path, "coco")[:5])
    array: npt.NDArray[np.uint8] = files[:]
    for crop in (256, 64):
        read, kept = (Images(pixels, 2, seed=3, crop=crop) for pixels in (files, array))
        assert read.steps_per_epoch == kept.steps_per_epoch == 3 and read.variance == pytest.approx(kept.variance)
        assert all(torch.equal(read.batch(step), kept.batch(step)) for step in range(7))
    assert torch.equal(torch.cat(list(read.whole())), torch.cat(list(kept.whole())))


def test_a_checksum_tells_sets_apart(tmp_path: Path) -> None:
    paths = laid_out(tmp_path, "coco")
    assert PictureFiles(paths[:4]).crc() != PictureFiles(paths[:5]).crc() != PictureFiles(paths[1:6]).crc()
    assert PictureFiles(paths[:4]).crc() == PictureFiles(paths[:4]).crc() != PictureFiles(paths[:4]).crc(7)


@pytest.mark.parametrize(
    ("table", "name", "rows"),
    [
        ("looc-2", "ffhq", "^VQGAN 1024x256, quick"),
        ("looc-10", "imagenet", "^PQ .*quick"),
        ("looc-11", "lsun-churches", "quick"),
        ("looc-12", "ffhq-celebahq", "256x4.*quick"),
        ("dual-1", "ade20k", "^Dual.*quick"),
        ("dual-1", "coco", "^CVQ.*quick"),
        ("dual-1", "celebahq", "^VQ-VAE .*quick"),
        ("dual-s1", "cub", "^VQ-VAE .*quick"),
    ],
)
def test_a_row_is_trained_measured_and_reported(
    request: pytest.FixtureRequest,
    run: Cli,
    table: str,
    name: Name,
    rows: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if table in ("looc-2", "looc-11"):
        request.getfixturevalue("features")
    monkeypatch.setitem(paper_tables.QUICK_ON, name, {"width": 4, "crop": 32})  # type: ignore[misc]
    for part in ("ffhq", "celebahq") if name == "ffhq-celebahq" else (name,):
        laid_out(tmp_path, part)  # type: ignore[arg-type]
    output = tmp_path / "out.md"
    done = run(
        "reproduce", table, "--data", tmp_path, "--work", tmp_path / "work", "--only", name, "--rows", rows,
        "--budget", 0.0005, "-o", output, "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    (found,) = [json.loads(line) for line in done.out.splitlines()]
    train, test = SPLITS["ffhq" if "ffhq" in name else name]
    if table == "looc-11":
        assert "FID 15.17" in output.read_text(encoding="utf-8"), "of samples, which a row has none of"
    assert found["result"]["data"].startswith(f"{name}: {train} pictures to train on, {test} to test, crc ")
    assert found["result"]["measured"]["pictures"] == test and found["result"]["steps"] >= 1
    assert f"### {table} on {name}" in output.read_text(encoding="utf-8")


def test_a_generator_learns_a_part_of_a_large_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = laid_out(tmp_path, "lsun-bedroom")
    monkeypatch.setattr(generation, "MOST_PICTURES", 7)
    settings = {"quantizer": "looc", "network": "vqgan", "width": 4, "d": 8, "K": 8, "m": 2, "table_bits": 10}
    state = Autoencoder(AutoencoderSettings(**settings), torch.device("cpu"))  # type: ignore[arg-type]
    model = tmp_path / "looc.safetensors"
    x = to_pictures(torch.from_numpy(PictureFiles(paths)[:2]))
    model.write_bytes(model_file.to_bytes(*export.export(state, [x])))
    network = {"width": 16, "layers": 1, "heads": 2}
    place = generation.Workplace(Codec.open(model), tmp_path, "lsun-bedroom", tmp_path / "made", network)
    (tmp_path / "made").mkdir()
    assert isinstance(place.train, PictureFiles) and place.train.paths == sorted(paths)[:14:2]
    transformer = place.bring(generation.Schooling(steps=1, batch=2), force=False)
    assert transformer is not None and transformer.sizes.places == 2 * 16 * 16
    made_for = json.loads(safe_open(tmp_path / "made" / "generator.safetensors", "pt").metadata()["vqc generator"])
    assert made_for["data"].startswith("lsun-bedroom: 7 pictures, crc ")
