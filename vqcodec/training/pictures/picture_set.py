"""Training pictures in memory: folders and .tar shards in, random crops out."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from vqcodec import tars
from vqcodec.errors import InputError
from vqcodec.files import readable
from vqcodec.folders import Found, is_hidden, left_out_note
from vqcodec.image import list_pictures, missing_note, read_picture
from vqcodec.names import printable
from vqcodec.tars import TAR, is_tar_name
from vqcodec.training.pictures.augmentation import Augmentation

UNCHANGED = Augmentation()


class PictureSet:
    """Pictures as uint8 [3, H, W] tensors on one device, with random crops drawn from them."""

    def __init__(self, pictures: list[Tensor]) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def digest(self) -> str:
        """A hash of all pixels in their order."""
        digest = hashlib.sha256()
        for picture in self.pictures:
            digest.update(picture.cpu().numpy().tobytes())
        return digest.hexdigest()

    def at(self, step: int, batch: int) -> PictureSet:
        """Return the pictures that a step has at hand for its batch, the same for the same step: here all of them."""
        return self

    def split(self, held_out: int) -> tuple[PictureSet, PictureSet]:
        """Return (training, validation) sets, the latter with at most `held_out` pictures and a fifth of all.

        The held-out pictures are spread evenly over the list, at least one of two or more. A single
        picture, and all where none is to be held out, serve as both.
        """
        count = len(self.pictures)
        if count == 1 or not held_out:
            return self, self
        held_out = min(held_out, max(1, count // 5))
        chosen = {(2 * i + 1) * count // (2 * held_out) for i in range(held_out)}
        rest = [picture for i, picture in enumerate(self.pictures) if i not in chosen]
        return PictureSet(rest), PictureSet([self.pictures[i] for i in sorted(chosen)])

    def crops(
        self, generator: np.random.Generator, count: int, size: int, augmentation: Augmentation = UNCHANGED
    ) -> Tensor:
        """Return float32 [count, 3, size, size] in [0, 1]: random places and flips, changed as `augmentation` says."""
        batch = [self._crop(generator, size, augmentation) for _ in range(count)]
        return torch.stack(batch)

    def _crop(self, generator: np.random.Generator, size: int, augmentation: Augmentation) -> Tensor:
        picture = self.pictures[int(generator.choice(len(self.pictures), p=self._area_shares))]
        source = augmentation.source(generator, size)
        if source > size:
            source = max(size, min(source, *picture.shape[1:]))
        top = int(generator.integers(max(1, picture.shape[1] - source + 1)))
        left = int(generator.integers(max(1, picture.shape[2] - source + 1)))
        crop = picture[:, top : top + source, left : left + source].float() / 255.0
        if generator.random() < 0.5:
            crop = crop.flip(2)
        return augmentation.change(generator, _fit(crop, source, size))

    @cached_property
    def _area_shares(self) -> npt.NDArray[np.float64]:
        areas = np.array([picture.shape[1] * picture.shape[2] for picture in self.pictures], dtype=np.float64)
        shares: npt.NDArray[np.float64] = areas / areas.sum()
        return shares


def _fit(crop: Tensor, source: int, size: int) -> Tensor:
    height, width = crop.shape[1:]
    if height < source or width < source:
        crop = F.pad(crop[None], (0, source - width, 0, source - height), mode="replicate")[0]
    if source != size:
        crop = F.interpolate(crop[None], (size, size), mode="bilinear", antialias=True, align_corners=False)[0]
    return crop.clamp(0, 1)


def load_pictures(sources: list[Path], device: torch.device, pattern: str | None = None) -> PictureSet:
    """Read every picture of folders (with subfolders), .tar shards and single files.

    Of those in folders and shards only the ones whose name fits a shell pattern, such as 'IMG_*.jpg', if it is given.
    Unreadable pictures are skipped and counted on stderr; none at all raises InputError.
    """
    pictures: dict[bytes, Tensor] = {}
    skipped: list[str] = []
    for name, data in tqdm(_picture_data(sources, pattern), desc="reading pictures", unit="", delay=1.0, disable=None):
        try:
            pixels = read_picture(data).pixels
        except InputError:
            skipped.append(name)
            continue
        key = hashlib.sha256(pixels.tobytes()).digest()  # the same picture twice could be held out and trained on
        pictures.setdefault(key, torch.from_numpy(np.array(pixels)).permute(2, 0, 1).contiguous().to(device))
    if skipped:
        tqdm.write(
            f"skipped {len(skipped)} files that are not readable pictures, the first is {printable(skipped[0])}",
            file=sys.stderr,
        )
    left_out = [path for source in sources if source.is_dir() for path in _listing(source).left_out]
    note_left_out(left_out)
    check_any(len(pictures), sources, pattern)
    return PictureSet(list(pictures.values()))


def note_left_out(paths: list[Path]) -> None:
    """Say on stderr what of folders is no picture."""
    if paths:
        tqdm.write(left_out_note(paths, missing_note(paths)), file=sys.stderr)


def check_any(count: int, sources: list[Path], pattern: str | None = None) -> None:
    """Raise InputError where sources have no pictures, or none whose names fit a pattern."""
    if not count:
        fitting = f" whose names fit {pattern!r}" if pattern else ""
        raise InputError(
            f"no pictures{fitting} were found in {', '.join(map(str, sources))}; name folders or .tar files of images"
        )


def _picture_data(sources: list[Path], pattern: str | None) -> Iterator[tuple[str, Path | bytes]]:
    for source in sources:
        if not source.exists():
            raise InputError(f"{source} does not exist; name folders or .tar files of images")
        if source.is_dir():
            files = _listing(source).checked()
            pictures = (path for path in files if not is_tar_name(path.name) and _fits(path.name, pattern))
            yield from ((str(path), path) for path in pictures)
            yield from (pair for path in files if is_tar_name(path.name) for pair in _members(path, pattern))
        elif is_tar_name(source.name):
            yield from _members(source, pattern)
        else:
            yield str(source), source


def _fits(name: str, pattern: str | None) -> bool:
    return pattern is None or fnmatch(name, pattern)


def _is_meant(name: str, pattern: str | None) -> bool:
    return _fits(PurePosixPath(name).name, pattern) and not is_hidden(name)


def _listing(folder: Path) -> Found:
    return list_pictures(folder, (TAR,))


def _members(shard: Path, pattern: str | None) -> Iterator[tuple[str, bytes]]:
    with readable(shard), shard.open("rb") as file:
        for name, data in tars.contents(file, str(shard), lambda name: _is_meant(name, pattern)):
            yield f"{shard}:{name}", data
