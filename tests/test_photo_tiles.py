"""Photographs in folders and shards as a data set of tiles: which pixels, how many at most, and what is refused."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tiny import picture

from vqcodec.errors import InputError
from vqcodec.training.pictures import photo_tiles
from vqcodec.training.pictures.datasets import Split, load_dataset
from vqcodec.training.pictures.images import Images

Pixels = npt.NDArray[np.uint8]


def png(pixels: Pixels) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def put(pictures: dict[str, Pixels], folder: Path) -> None:
    """Write pictures below a folder."""
    for name, pixels in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(pixels))


def put_shard(pixels: Pixels, path: Path) -> None:
    """Write a .tar of one picture."""
    data, member = png(pixels), tarfile.TarInfo("inside.png")
    member.size = len(data)
    with tarfile.open(path, "w") as shard:
        shard.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("split", ["train", "test"])
def test_tiles_are_cut_from_the_top_left_row_by_row(
    split: Split, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide, high, square = picture(300, 530, 1), picture(513, 256, 2), picture(256, 256, 3)
    folder = tmp_path / "photos" / split
    put({"a.png": wide, "of/2024/b.png": high, "c.png": picture(255, 700, 4), "d.png": picture(700, 255, 5)}, folder)
    put_shard(square, folder / "shard.tar")
    found = load_dataset(tmp_path, "photos", split)
    expected = [wide[:256, :256], wide[:256, 256:512], high[:256], high[256:512], square]
    np.testing.assert_array_equal(found.pixels, np.stack(expected))
    assert found.pixels.dtype == np.uint8 and found.pixels.flags.c_contiguous
    assert found.labels.tolist() == [0] * 5 and found.exact.all() and len(found.exact) == 5
    assert "skipped 2 of 5 pictures" in capsys.readouterr().err


def test_what_is_too_much_is_left_out_of_all_pictures_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = {f"{i}.png": picture(256, 512, seed=i) for i in range(3)}
    put(pictures, tmp_path / "photos" / "train")
    for most, taken in ((3, [0, 2, 4]), (4, [0, 1, 3, 4]), (6, range(6)), (7, range(6))):
        monkeypatch.setattr(photo_tiles, "MOST", most)
        found = load_dataset(tmp_path, "photos", "train").pixels
        expected = [pictures[f"{i // 2}.png"][:, 256 * (i % 2) :][:, :256] for i in taken]
        np.testing.assert_array_equal(found, np.stack(expected))


def test_reduced_tiles_are_means_and_more_of_them_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = {f"{i}.png": picture(256, 512, seed=i) for i in range(3)}
    put(pictures, tmp_path / "photos" / "test")
    monkeypatch.setattr(photo_tiles, "MOST", 1)
    whole, reduced = (load_dataset(tmp_path, name, "test").pixels for name in ("photos", "photos64"))
    assert whole.shape == (1, 256, 256, 3) and reduced.shape == (6, 64, 64, 3)
    assert isinstance(reduced, np.ndarray)
    means = np.stack([pictures[f"{i // 2}.png"][:, 256 * (i % 2) :][:, :256] for i in range(6)])
    means = means.reshape(6, 64, 4, 64, 4, 3).mean((2, 4))
    assert abs(reduced - means).max() <= 0.5


def test_a_folder_without_tiles_is_named_in_a_sentence(tmp_path: Path) -> None:
    put({"test/small.png": picture(255, 300, 1)}, tmp_path / "photos")
    for split, said in (
        ("train", "train is not a folder; make it"),
        ("test", "no picture of 256 x 256 pixels or more"),
    ):
        with pytest.raises(InputError, match=said) as error:
            load_dataset(tmp_path, "photos", split)  # type: ignore[arg-type]
        assert str(tmp_path / "photos" / split) in str(error.value) and "\n" not in str(error.value)


def test_many_pictures_are_in_memory_once() -> None:
    pixels = np.zeros((2, 256, 256, 3), np.uint8)
    assert np.shares_memory(Images(pixels, 1, seed=1, crop=256).pixels.numpy(), pixels)


def test_pictures_that_cannot_be_written_to_are_taken_without_a_warning() -> None:
    pixels = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    pixels.flags.writeable = False
    images = Images(pixels, 2, seed=0, crop=4)
    assert sorted(images.batch(0)[:, 0, 0, 0].tolist()) == pytest.approx([0, 48 / 255])
