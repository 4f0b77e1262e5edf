"""The data sets of the papers' larger tables in the folders in which they come, read while they are used.

    ffhq        .../00000/00000.png and so on, 70,000; the last seventh in the order of names is the test
    celebahq    0.jpg, 1.jpg and so on, 30,000; the last sixth in the order of their numbers is the test
    imagenet    train/n01440764/*.JPEG and so on, and val/ with or without such folders
    ade20k      images/training and images/validation, as in ADEChallengeData2016
    coco        train2017 and val2017
    cub         images.txt and train_test_split.txt beside images/, as in CUB_200_2011
    ffhq-celebahq   the training pictures of ffhq and the test pictures of celebahq (LooC, table 12)
    lsun-churches, lsun-bedroom   church_outdoor_train and church_outdoor_val, bedroom_train and bedroom_val, as data.py
                    of LSUN exports its databases

A split list of VQGAN's code, such as ffhqvalidation.txt, is followed where it lies in the set's folder. A picture is
made 256 x 256 as in that code: its shorter side is resized to 256, and the middle is cut out.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from vqcodec.errors import InputError
from vqcodec.image import list_pictures, read_picture

LargeName = Literal[
    "ffhq", "celebahq", "imagenet", "ade20k", "coco", "cub", "ffhq-celebahq", "lsun-churches", "lsun-bedroom"
]
Split = Literal["train", "test"]
SIDE = 256
# How many pictures say what the variance of a set's pixels is.
_SAMPLE = 1000


@dataclass(frozen=True)
class Layout:
    """Folders that a set may be in, below the one that is named or that itself; how they are split, and from where.

    inside: the folder of each split, by names of which one must be there, or none where all lie together; test: the
    share of the pictures, in their order, that are the test's then. lists: names of split lists.
    """

    folders: tuple[str, ...]
    origin: str
    inside: dict[Split, tuple[str, ...]] | None = None
    test: float = 0.0
    lists: dict[Split, str] | None = None


def _lsun(category: str) -> Layout:
    return Layout(
        ("lsun", "LSUN"),
        f"LSUN's {category} by https://github.com/fyu/lsun, exported to {category}_train and {category}_val",
        {"train": (f"{category}_train",), "test": (f"{category}_val",)},
    )


def _lists(name: str) -> dict[Split, str]:
    return {"train": f"{name}train.txt", "test": f"{name}validation.txt"}


LAYOUTS: dict[str, Layout] = {
    "ffhq": Layout(
        ("ffhq/images1024x1024", "ffhq-dataset/images1024x1024", "images1024x1024", "ffhq", "FFHQ", "ffhq-dataset"),
        "FFHQ, images1024x1024 from https://github.com/NVlabs/ffhq-dataset",
        test=1 / 7, lists=_lists("ffhq"),
    ),
    "celebahq": Layout(
        ("celebahq", "CelebA-HQ", "celeba_hq", "CelebAMask-HQ/CelebA-HQ-img", "CelebA-HQ-img"),
        "CelebA-HQ, as in CelebAMask-HQ from https://github.com/switchablenorms/CelebAMask-HQ",
        test=1 / 6, lists=_lists("celebahq"),
    ),
    "imagenet": Layout(
        ("imagenet", "ImageNet", "ILSVRC2012", "ILSVRC/Data/CLS-LOC"),
        "ImageNet (ILSVRC 2012) from https://image-net.org, unpacked to train and val",
        {"train": ("train", "ILSVRC2012_img_train"), "test": ("val", "validation", "ILSVRC2012_img_val")},
    ),
    "ade20k": Layout(
        ("ade20k", "ADE20K", "ADEChallengeData2016"),
        "ADEChallengeData2016.zip from http://sceneparsing.csail.mit.edu",
        {"train": ("images/training",), "test": ("images/validation",)},
    ),
    "coco": Layout(
        ("coco", "COCO", "coco2017"),
        "train2017.zip and val2017.zip from https://cocodataset.org",
        {"train": ("train2017", "images/train2017"), "test": ("val2017", "images/val2017")},
    ),
    "cub": Layout(
        ("cub", "CUB", "CUB_200_2011", "CUB_200_2011/CUB_200_2011"),
        "CUB_200_2011.tgz from https://www.vision.caltech.edu/datasets/cub_200_2011/",
    ),
    "lsun-churches": _lsun("church_outdoor"),
    "lsun-bedroom": _lsun("bedroom"),
}  # fmt: skip
_CUB_FILES = "images.txt", "train_test_split.txt"


class PictureFiles:
    """Pictures of 256 x 256 that are read and resized when they are asked for: as an array uint8 [N, 256, 256, 3].

    It can be indexed by a slice, or by an array of numbers or of bools; what a file shows is not kept.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """What the whole array would have."""
        return len(self), SIDE, SIDE, 3

    def __getitem__(self, which: slice | npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
        """Return uint8 [n, 256, 256, 3]; InputError for a file that is no picture."""
        pixels = [_square(self.paths[i]) for i in np.arange(len(self))[which]]
        return np.stack(pixels) if pixels else np.empty((0, *self.shape[1:]), np.uint8)

    def thinned(self, most: int) -> PictureFiles:
        """Return at most so many of the pictures, evenly spread."""
        count = min(len(self), most)
        return PictureFiles([self.paths[i * len(self) // count] for i in range(count)])

    def sample(self) -> npt.NDArray[np.uint8]:
        """Return at most 1,000 of the pictures, evenly spread."""
        return self.thinned(_SAMPLE)[:]

    def crc(self, before: int = 0) -> int:
        """Return a checksum of the files' names and sizes in bytes, which stands for that of the pixels."""
        for path in self.paths:
            before = zlib.crc32(f"{path.name} {path.stat().st_size}\n".encode(), before)
        return before


def checksum(pixels: npt.NDArray[np.uint8] | PictureFiles, before: int = 0) -> int:
    """Return the CRC-32 of pictures in memory, or what stands for that of files."""
    if isinstance(pixels, PictureFiles):
        return pixels.crc(before)
    return zlib.crc32(np.ascontiguousarray(pixels).data, before)


def load_files(source: Path, name: LargeName, split: Split) -> PictureFiles:
    """Return a split of a data set that lies in a folder, or in one of its usual names there; InputError if not."""
    if name == "ffhq-celebahq":
        return load_files(source, "ffhq" if split == "train" else "celebahq", split)
    layout = LAYOUTS[name]
    find: Callable[[Path], list[Path] | None] = _of_cub(split) if name == "cub" else _of(layout, split)
    for folder in _candidates(source, name, layout):
        paths = find(folder) if folder.is_dir() else None
        if paths:
            return PictureFiles(paths)
    raise InputError(_missing(source, name, layout, split))


def _candidates(source: Path, name: str, layout: Layout) -> list[Path]:
    """Return where a set may be. What is no more than a heap of pictures must have a folder of its usual name."""
    own = layout.inside is not None or name == "cub" or source.resolve().name in layout.folders
    return [*(source / usual for usual in layout.folders), *([source] if own else [])]


def _of(layout: Layout, split: Split) -> Callable[[Path], list[Path] | None]:
    def find(folder: Path) -> list[Path] | None:
        if layout.inside is not None:
            inside = (folder / usual for usual in layout.inside[split])
            return next((_pictures(path) for path in inside if path.is_dir()), None)
        if layout.lists is not None and (folder / layout.lists[split]).is_file():
            return _listed(folder, folder / layout.lists[split])
        paths = sorted(_pictures(folder), key=_number)
        first = len(paths) - round(layout.test * len(paths))
        return paths[:first] if split == "train" else paths[first:]

    return find


def _of_cub(split: Split) -> Callable[[Path], list[Path] | None]:
    """CUB says in two files of lines "number value" which picture has which number, and which are to train on."""

    def find(folder: Path) -> list[Path] | None:
        names, is_train = (folder / name for name in _CUB_FILES)
        if not (names.is_file() and is_train.is_file()):
            return None
        taken = {number for number, value in _pairs(is_train) if (value == "1") == (split == "train")}
        return _present(folder / "images" / name for number, name in _pairs(names) if number in taken)

    return find


def _pairs(path: Path) -> list[tuple[str, str]]:
    lines = [line.split() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    return [(line[0], line[1]) for line in lines if len(line) == 2]


def _listed(folder: Path, path: Path) -> list[Path]:
    names = path.read_text(encoding="utf-8", errors="replace").split()
    found = {picture.name: picture for picture in _pictures(folder)}
    return _present(found.get(Path(name).name, folder / name) for name in names)


def _present(paths: Iterable[Path]) -> list[Path]:
    """Return paths all of which are files; InputError for the first that is not."""
    found = list(paths)
    for path in found:
        if not path.is_file():
            raise InputError(f"{path} is missing, although its data set names it; get a complete copy")
    return found


def _pictures(folder: Path) -> list[Path]:
    return list_pictures(folder).checked()


def _number(path: Path) -> tuple[int, str]:
    """By its number, since 10.jpg comes after 9.jpg; by its name where it has none."""
    digits = re.findall(r"\d+", path.stem)
    return (int(digits[-1]) if digits else -1), str(path)


def _missing(source: Path, name: str, layout: Layout, split: Split) -> str:
    if name == "cub":
        wanted = f"{' and '.join(_CUB_FILES)} beside images"
    elif layout.inside is not None:
        wanted = f"pictures in {' or '.join(layout.inside[split])}"
    else:
        wanted = "pictures"
    return (
        f"{source} has no {name} to {'train on' if split == 'train' else 'test with'}: none of "
        f"{', '.join(layout.folders)} in it has {wanted}; get {layout.origin}, or choose others with --only"
    )


def _square(path: Path) -> npt.NDArray[np.uint8]:
    """Return a picture uint8 [256, 256, 3]: its shorter side resized to 256, and the middle of that."""
    pixels = read_picture(path).pixels[..., :3]
    height, width = pixels.shape[:2]
    if (height, width) != (SIDE, SIDE):
        scale = SIDE / min(height, width)
        size = max(SIDE, round(height * scale)), max(SIDE, round(width * scale))
        x = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float()
        y = F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)
        pixels = y[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()
    top, left = ((side - SIDE) // 2 for side in pixels.shape[:2])
    square: npt.NDArray[np.uint8] = pixels[top : top + SIDE, left : left + SIDE]
    return square
