"""The data sets of the papers' experiments: MNIST, Fashion-MNIST, CIFAR-10, and larger pictures of 256 x 256.

Files in, arrays out; images.py makes batches of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from vqcodec.errors import InputError, SettingsError
from vqcodec.training.pictures import dataset_files as files
from vqcodec.training.pictures.large_sets import LAYOUTS, LargeName, PictureFiles, load_files
from vqcodec.training.pictures.photo_tiles import load_tiles

Name = Literal[
    "mnist", "fashion", "cifar10", "photos", "photos64", "ffhq", "celebahq", "imagenet", "ade20k", "coco", "cub",
    "ffhq-celebahq", "lsun-churches", "lsun-bedroom",
]  # fmt: skip
Split = Literal["train", "test"]

_SHAPES: dict[Name, files.Shape] = {"mnist": (28, 28, 1), "fashion": (28, 28, 1), "cifar10": (32, 32, 3)}
_TRAIN_PICTURES: dict[Name, int] = {"mnist": 60_000, "fashion": 60_000, "cifar10": 50_000}
_TEST_PICTURES = 10_000
_PHOTOS = "photos"
_REDUCED: dict[Name, int] = {"photos": 1, "photos64": 4}
"""Sets of photographs, and how many pixels along each side of a tile become one."""
_CIFAR_BATCHES = 5
_LABELS = 10
_CIFAR_VERSIONS: tuple[tuple[str, str, str, files.Parse], ...] = (
    ("cifar-10-batches-bin", ".bin", "cifar-10-binary.tar.gz", files.parse_binary),
    ("cifar-10-batches-py", "", "cifar-10-python.tar.gz", files.parse_pickled),
)
"""Folder, suffix of its files, archive of the folder, and reader of a file."""
ORIGINS: dict[Name, str] = {
    "mnist": "its four idx files from https://storage.googleapis.com/cvdf-datasets/mnist/",
    "fashion": "its four idx files from https://github.com/zalandoresearch/fashion-mnist, in a folder without MNIST's",
    "cifar10": "cifar-10-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html",
    "photos": "your own photographs, in photos/train and photos/test",
    "photos64": "your own photographs, in photos/train and photos/test",
    "ffhq": LAYOUTS["ffhq"].origin,
    "celebahq": LAYOUTS["celebahq"].origin,
    "imagenet": LAYOUTS["imagenet"].origin,
    "ade20k": LAYOUTS["ade20k"].origin,
    "coco": LAYOUTS["coco"].origin,
    "cub": LAYOUTS["cub"].origin,
    "ffhq-celebahq": "both of ffhq and celebahq",
    "lsun-churches": LAYOUTS["lsun-churches"].origin,
    "lsun-bedroom": LAYOUTS["lsun-bedroom"].origin,
}
"""Where the files of a data set come from."""
LARGE: tuple[Name, ...] = get_args(LargeName)
"""The data sets whose files are read while they are used."""
SMALL: tuple[Name, ...] = tuple(name for name in get_args(Name) if name not in LARGE)
"""The others, which are in memory."""
_IDX_PREFIX: dict[Split, str] = {"train": "train", "test": "t10k"}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Pictures in their official order.

    pixels: uint8 [N, H, W, C] with C 1 or 3, of the large sets PictureFiles; labels: uint8 [N] in 0..9, all 0 where
    there are none; exact: bool [N], False where a copy with loss stands in for a picture, which is to be left out of
    every lossless comparison.
    """

    pixels: npt.NDArray[np.uint8] | PictureFiles
    labels: npt.NDArray[np.uint8]
    exact: npt.NDArray[np.bool_]


def known_name(name: str) -> Name:
    """Return the name of a data set; SettingsError where there is none of that name."""
    if name not in get_args(Name):
        raise SettingsError(f"there is no data set {name!r}; choose from {', '.join(get_args(Name))}")
    return cast(Name, name)


def load_dataset(source: Path, name: Name, split: Split) -> Dataset:
    """Read one split of a data set from the files in a folder, whichever form is there.

    In this order: the packed form NAME_SPLIT.npz, which may hold a part of the set; the idx files of
    MNIST and Fashion-MNIST, plain or .gz; CIFAR-10's binary version and its Python version, each as
    a folder or as the .tar.gz it comes in. The set `photos` is whatever pictures are in the folders photos/train
    and photos/test, see photo_tiles.py, and `photos64` is the same at 64 x 64; of the large ones see large_sets.py.
    Raises InputError where there is none, or not a whole one.
    """
    if name not in get_args(Name) or split not in get_args(Split):
        raise SettingsError(
            f"data set {name!r} with split {split!r} is unknown; choose one of {', '.join(get_args(Name))} "
            f"and one of {', '.join(get_args(Split))}"
        )
    if not source.is_dir():
        raise InputError(f"{source} is not a folder; name the one that holds the files of {name}")
    if name in _REDUCED:
        tiles = load_tiles(source / _PHOTOS / split, _REDUCED[name])
        return _whole(tiles, np.zeros(len(tiles), np.uint8))
    if name in LARGE:
        pictures = load_files(source, cast(LargeName, name), split)
        return _whole(pictures, np.zeros(len(pictures), np.uint8))
    found = _packed(source, name, split) or (_cifar(source, split) if name == "cifar10" else _idx(source, name, split))
    if found is None:
        looked_for = " nor ".join(_looked_for(name, split))
        raise InputError(f"{source} has neither {looked_for}; name the folder that has, or get {ORIGINS[name]}")
    if found.labels.max() >= _LABELS:
        raise InputError(f"{source} has {name} labels up to {found.labels.max()}, 9 is the highest; get another copy")
    return found


def _packed(source: Path, name: Name, split: Split) -> Dataset | None:
    path = source / f"{name}_{split}.npz"
    return Dataset(*files.read_packed(path, _SHAPES[name], _count(name, split))) if path.exists() else None


def _idx(source: Path, name: Name, split: Split) -> Dataset | None:
    prefix, count = _IDX_PREFIX[split], _count(name, split)
    images, labels = (source / f"{prefix}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1"))
    if not _present(images).exists():
        return None
    pixels = files.read_idx(_present(images), (count, *_SHAPES[name][:2]))
    return _whole(pixels[..., None], files.read_idx(_present(labels), (count,)))


def _present(path: Path) -> Path:
    """Return the compressed file where the plain one is not there."""
    return path if path.exists() else path.with_name(f"{path.name}.gz")


def _cifar(source: Path, split: Split) -> Dataset | None:
    names = ["test_batch"] if split == "test" else [f"data_batch_{i + 1}" for i in range(_CIFAR_BATCHES)]
    for version, suffix, archive, parse in _CIFAR_VERSIONS:
        paths = [f"{version}/{name}{suffix}" for name in names]
        if (source / version).is_dir():
            return _joined([files.read_batch(source / path) for path in paths], parse, split, source)
        if (source / archive).exists():
            return _joined(files.read_members(source / archive, paths), parse, split, source / archive)
    return None


def _joined(batches: list[bytes], parse: files.Parse, split: Split, source: Path) -> Dataset:
    count = _count("cifar10", split) // len(batches)
    parts = [parse(data, count, f"{split} batch {i + 1} in {source}") for i, data in enumerate(batches)]
    return _whole(np.concatenate([pixels for pixels, _ in parts]), np.concatenate([labels for _, labels in parts]))


def _whole(pixels: npt.NDArray[np.uint8] | PictureFiles, labels: npt.NDArray[np.uint8]) -> Dataset:
    return Dataset(pixels, labels, np.ones(len(labels), np.bool_))


def _count(name: Name, split: Split) -> int:
    return _TRAIN_PICTURES[name] if split == "train" else _TEST_PICTURES


def _looked_for(name: Name, split: Split) -> list[str]:
    if name == "cifar10":
        return [f"{name}_{split}.npz", *(path for version in _CIFAR_VERSIONS for path in (version[0], version[2]))]
    return [f"{name}_{split}.npz", f"{_IDX_PREFIX[split]}-images-idx3-ubyte (or .gz)"]
