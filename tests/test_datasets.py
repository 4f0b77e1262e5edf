"""MNIST, Fashion-MNIST and CIFAR-10 from each form of their files; damaged and hostile files are refused."""

from __future__ import annotations

import lzma
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_forms import (
    FORMS,
    Bytes,
    batches,
    binary,
    idx,
    made,
    planes,
    webp,
    write_bin,
    write_bin_tar,
    write_folder,
    write_idx,
    write_strips,
    write_tar,
    write_xz,
)

from vqcodec.errors import InputError, SettingsError
from vqcodec.training.pictures import dataset_files, datasets
from vqcodec.training.pictures.datasets import Dataset, Split, load_dataset


@pytest.fixture(autouse=True)
def small_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the official sets have 10 training and 4 test pictures."""
    monkeypatch.setattr(datasets, "_TRAIN_PICTURES", {"mnist": 10, "fashion": 10, "cifar10": 10})
    monkeypatch.setattr(datasets, "_TEST_PICTURES", 4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_form_gives_the_pictures_that_went_in(form: str, split: Split, tmp_path: Path) -> None:
    name, write = FORMS[form]
    pixels, labels = made(name, split)
    write(tmp_path, pixels, labels, split)
    found = load_dataset(tmp_path, name, split)
    for array, expected in ((found.pixels, pixels), (found.labels, labels), (found.exact, np.ones(len(labels), bool))):
        assert array.dtype == expected.dtype and array.flags.writeable
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_is_cut_anywhere_is_refused_by_name(form: str, tmp_path: Path) -> None:
    name, write = FORMS[form]
    path = write(tmp_path, *made(name, "test"), "test")
    data = path.read_bytes()
    for length in [0, 1, 5, 16, *range(20, len(data) - 1000, len(data) // 9), len(data) - 1000]:
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match="damaged") as error:
            load_dataset(tmp_path, name, "test")
        assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("form", ["idx", "idx.gz", "bin", "bin.tar.gz", "py", "py.tar.gz"])
@pytest.mark.parametrize("count", [2, 6])
def test_the_public_files_must_have_the_official_number_of_pictures(form: str, count: int, tmp_path: Path) -> None:
    name, write = FORMS[form]
    write(tmp_path, *made(name, "test", count), "test")
    with pytest.raises(InputError, match="get a copy anew"):
        load_dataset(tmp_path, name, "test")


def test_a_packed_file_may_hold_a_part_of_a_set_but_not_more(tmp_path: Path) -> None:
    pixels, labels = made("mnist", "train", 7)
    write_xz(tmp_path, pixels, labels, "train")
    assert len(load_dataset(tmp_path, "mnist", "train").labels) == 7
    write_xz(tmp_path, *made("mnist", "train", 11), "train")
    with pytest.raises(InputError, match="11 pictures.*at most 10"):
        load_dataset(tmp_path, "mnist", "train")


def test_stand_ins_are_not_exact(tmp_path: Path) -> None:
    exact = np.array([True, False, True, True])
    write_strips(tmp_path, *made("cifar10", "test"), "test", {"exact": exact})
    np.testing.assert_array_equal(load_dataset(tmp_path, "cifar10", "test").exact, exact)


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"shape": np.array([4, 28, 27, 1])}, "pictures of"),
        ({"shape": np.array([0, 28, 28, 1])}, "0 pictures"),
        ({"shape": np.array([4, 28])}, "pictures of"),
        ({"shape": np.array([3, 28, 28, 1])}, "more than the"),
        ({"xz": np.zeros(9, np.uint8)}, "damaged"),
        ({"xz": np.frombuffer(lzma.compress(bytes(10)), np.uint8)}, "fewer than the"),
        ({"labels": np.zeros(3, np.uint8)}, "with their labels"),
        ({"labels": np.zeros((4, 1), np.uint8)}, "with their labels"),
        ({"labels": np.zeros(4)}, "labels are float64"),
        ({"labels": np.array([0, 1, 2, 10], np.uint8)}, "labels up to 10"),
        ({"labels": np.array([{}, 1, 2, 3])}, "damaged"),
        ({"exact": np.ones(5, np.bool_)}, "with their labels"),
        ({"exact": np.ones(4, np.uint8)}, "exact is uint8"),
    ],
)
def test_a_packed_file_of_other_contents_is_refused(others: dict[str, Any], said: str, tmp_path: Path) -> None:
    write_xz(tmp_path, *made("mnist", "test"), "test", others)
    with pytest.raises(InputError, match=said):
        load_dataset(tmp_path, "mnist", "test")


@pytest.mark.parametrize(
    ("strip", "said"),
    [
        (webp(np.zeros((1, 32, 31, 3), np.uint8)), "31 pixels wide"),
        (webp(np.zeros((1, 31, 32, 3), np.uint8)), "damaged"),
        (webp(np.zeros((2, 32, 32, 3), np.uint8)), "with their labels"),
        (np.zeros(20, np.uint8), "strip001 of .* is not an image"),
    ],
)
def test_a_strip_of_other_contents_is_refused(strip: Bytes, said: str, tmp_path: Path) -> None:
    write_strips(tmp_path, *made("cifar10", "test"), "test", {"strip001": strip})
    with pytest.raises(InputError, match=said):
        load_dataset(tmp_path, "cifar10", "test")


def test_files_that_are_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mnist_test.npz"
    np.save(tmp_path / "array.npy", np.zeros(4))
    (tmp_path / "array.npy").rename(path)
    with pytest.raises(InputError, match="not an .npz"):
        load_dataset(tmp_path, "mnist", "test")
    path.unlink()
    pixels, labels = made("mnist", "test")
    images = write_idx(tmp_path, pixels, labels, "test")
    images.write_bytes(idx(labels))
    with pytest.raises(InputError, match="in 3 dimensions"):
        load_dataset(tmp_path, "mnist", "test")
    images.write_bytes(idx(pixels[:, :27, :, 0]))
    with pytest.raises(InputError, match="other dimensions"):
        load_dataset(tmp_path, "mnist", "test")
    images.write_bytes(idx(pixels[..., 0]) + b"\0")
    with pytest.raises(InputError, match="more than the"):
        load_dataset(tmp_path, "mnist", "test")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mnist_train.npz nor train-images-idx3-ubyte"):
        load_dataset(tmp_path, "mnist", "train")
    with pytest.raises(
        InputError, match="cifar10_test.npz nor .*-bin nor cifar-10-binary.tar.gz nor .*-py nor .*python"
    ):
        load_dataset(tmp_path, "cifar10", "test")
    with pytest.raises(InputError, match="not a folder"):
        load_dataset(tmp_path / "nothing", "mnist", "test")
    write_idx(tmp_path, *made("mnist", "test"), "test").with_name("t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError, match="t10k-labels-idx1-ubyte.gz does not exist"):
        load_dataset(tmp_path, "mnist", "test")
    write_bin(tmp_path, *made("cifar10", "train"), "train").unlink()
    with pytest.raises(InputError, match="data_batch_5.bin does not exist"):
        load_dataset(tmp_path, "cifar10", "train")


def test_an_archive_without_one_of_its_batches_is_refused(tmp_path: Path) -> None:
    files = batches("cifar-10-batches-bin", ".bin", binary, made("cifar10", "train"), "train")
    del files["cifar-10-batches-bin/data_batch_3.bin"]
    write_tar(files, tmp_path / "cifar-10-binary.tar.gz")
    with pytest.raises(InputError, match="has no cifar-10-batches-bin/data_batch_3.bin"):
        load_dataset(tmp_path, "cifar10", "train")


def test_a_batch_larger_than_any_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_files, "_MOST_BATCH_BYTES", 1000)
    for write in (write_bin_tar, write_bin):
        write(tmp_path, *made("cifar10", "test"), "test")
        with pytest.raises(InputError, match="larger than any batch"):
            load_dataset(tmp_path, "cifar10", "test")


@pytest.mark.parametrize(("name", "split"), [("svhn", "test"), ("mnist", "validation")])
def test_other_names_are_refused(name: Any, split: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="choose one of mnist, fashion, cifar10"):
        load_dataset(tmp_path, name, split)


class Call:
    """What a pickle would call when it is loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def load_pickle(batch: Any, folder: Path, protocol: int = 2) -> Dataset:
    """Load a test set that is this object, pickled, or these bytes."""
    data = batch if isinstance(batch, bytes) else pickle.dumps(batch, protocol=protocol)
    write_folder({"cifar-10-batches-py/test_batch": data}, folder)
    return load_dataset(folder, "cifar10", "test")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_run_something_is_refused_and_runs_nothing(protocol: int, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    rows = planes(made("cifar10", "test")[0])
    for call in (
        Call(os.mkdir, str(trace)),
        Call(eval, f"__import__('os').mkdir({str(trace)!r})"),
        Call(np.save, str(trace), rows),
        Call(np.ndarray.tofile, rows, str(trace)),
        Call(getattr, rows, "tofile"),
    ):
        for batch in (call, {"data": call, "labels": [0, 1, 2, 3]}, {"data": rows, "labels": [0, 1, 2, call]}):
            with pytest.raises(InputError, match="it asks for"):
                load_pickle(batch, tmp_path, protocol)
    assert list(tmp_path.iterdir()) == [tmp_path / "cifar-10-batches-py"]


def test_a_pickle_cannot_make_names_reach_further_than_themselves(tmp_path: Path) -> None:
    for name in ("_codecs\ndecode", "numpy\nndarray.tofile", "numpy\nload", "numpy.core.multiarray\nfromfile"):
        with pytest.raises(InputError, match="it asks for"):
            load_pickle(b"c" + name.encode() + b"\n.", tmp_path)
    with pytest.raises(InputError, match="the encoding 'rot13'"):
        load_pickle(b"c_codecs\nencode\n(X\1\0\0\0aX\5\0\0\0rot13tR.", tmp_path)
    with pytest.raises(InputError, match="damaged"):
        load_pickle(b"cnumpy\nndarray\n.", tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"data": np.zeros((4, 3072), np.int8)},
        {"data": np.zeros((4, 3071), np.uint8)},
        {"data": np.zeros((3, 3072), np.uint8)},
        {"data": np.asfortranarray(np.ones((4, 3072), np.uint8))},
        {"data": np.full((4, 3072), "x", object)},
        {"data": bytes(4 * 3072)},
        {"labels": [0, 1, 2]},
        {"labels": [0, 1, 2, 3.0]},
        {"labels": [0, 1, 2, True]},
        {"labels": [0, 1, 2, -1]},
        {"labels": [0, 1, 2, 10]},
        {"labels": [0, 1, 2, 256]},
        {"labels": None},
    ],
    ids=str,
)
def test_a_pickle_of_other_contents_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    good = {"data": planes(made("cifar10", "test")[0]), "labels": [0, 1, 2, 9]}
    assert load_pickle(good, tmp_path).labels.tolist() == [0, 1, 2, 9]
    with pytest.raises(InputError):
        load_pickle(good | change, tmp_path)
    for key in good:
        with pytest.raises(InputError):
            load_pickle({other: value for other, value in good.items() if other != key}, tmp_path)
