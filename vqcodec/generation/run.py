"""A generator for a model and a data set, a page of its samples, and how far these are from pictures, in one table.

FOLDER/generator.safetensors   the generator, which is not trained again where it is what is asked for; with
                               .checkpoint behind its name how far an interrupted training is
FOLDER/samples.png             a page of samples
FOLDER/generation.json         what was measured, and what made it; removed where page or generator are made anew
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from vqcodec.choices import DEFAULT_QUALITY
from vqcodec.codec import Codec
from vqcodec.errors import InputError, OutputError, SettingsError
from vqcodec.exact import tokens
from vqcodec.exact.headers import Size
from vqcodec.files import atomic_write
from vqcodec.generation import distance, generator, sequences
from vqcodec.generation.distance import NAME, Distances
from vqcodec.generation.generator import Purpose
from vqcodec.generation.learning import Pupil, Schooling, bits, learn
from vqcodec.generation.transformer import Transformer
from vqcodec.image import Picture, write_picture
from vqcodec.training import checkpoint
from vqcodec.training.pictures.datasets import Name, Split, load_dataset
from vqcodec.training.pictures.large_sets import PictureFiles, checksum

Pixels = npt.NDArray[np.uint8]
GENERATOR, PAGE, FIGURES = "generator.safetensors", "samples.png", "generation.json"
PAGE_SIDE = 8
"""Samples along each side of the page."""
MOST_PICTURES = 100_000
"""The most pictures of a large set that a generator learns from."""
_TEMPERATURES = 0.01, 100
_MOST_SEED = 1 << 62


@dataclass(frozen=True)
class Drawing:
    """How samples are drawn: the temperature that logits are divided by, the likeliest `top` alone or 0, the seed."""

    seed: int = 0
    temperature: float = 1.0
    top: int = 0

    def __post_init__(self) -> None:
        low, high = _TEMPERATURES
        if not low <= self.temperature <= high:
            raise SettingsError(
                f"temperature {self.temperature:g} is outside {low:g}..{high:g}; 1 draws as was learned"
            )
        if not 0 <= self.seed <= _MOST_SEED:
            raise SettingsError(f"seed {self.seed} is outside 0..{_MOST_SEED}; choose a smaller one")


@dataclass(frozen=True, eq=False)
class Workplace:
    """A model, a data set, the folder that everything goes to, sizes of the Transformer, and threads, 0 for torch's."""

    codec: Codec
    data: Path
    name: Name
    folder: Path
    network: dict[str, int] = field(default_factory=dict)
    threads: int = 0

    def __post_init__(self) -> None:
        if self.threads:
            torch.set_num_threads(self.threads)

    @cached_property
    def train(self) -> Pixels | PictureFiles:
        """The training pictures uint8 [N, H, W, C]."""
        return self._pictures("train")

    @cached_property
    def test(self) -> Pixels | PictureFiles:
        """The exact test pictures uint8 [N, H, W, C]."""
        return self._pictures("test")

    def _pictures(self, split: Split) -> Pixels | PictureFiles:
        """Return those of a split, for the test the exact ones; of a large set at most MOST_PICTURES, evenly spread."""
        found = load_dataset(self.data, self.name, split)
        if isinstance(found.pixels, PictureFiles):
            return found.pixels.thinned(MOST_PICTURES)
        return found.pixels if split == "train" else found.pixels[found.exact]

    @cached_property
    def grid(self) -> tuple[int, int]:
        """The grid h', w' of a picture's indices."""
        return sequences.grid_of(self.codec, self.train.shape)

    def check_model(self) -> None:
        """Raise SettingsError where the model's indices of the pictures make no sequences, or the sizes do not fit."""
        sequences.sizes_of(self.codec, self.train.shape, **self.network)

    def check_count(self, count: int) -> None:
        """Raise SettingsError where `count` pictures, or those of the set, are too few for a distance."""
        sets = {"test": len(self.test), "training": len(self.train)}
        fewest = min(sets, key=lambda split: sets[split])
        if count < distance.LEAST:
            raise SettingsError(f"--count {count} is too few for a distance; choose {distance.LEAST} or more, or 0")
        if sets[fewest] < distance.LEAST:
            raise SettingsError(
                f"{self.name} in {self.data} has {sets[fewest]} {fewest} pictures, and a distance needs "
                f"{distance.LEAST}; choose --count 0, or a whole set"
            )

    def bring(self, how: Schooling, force: bool) -> Transformer | None:
        """Return the generator of the folder where it is what is asked for, or train and write it.

        None where the training was interrupted; it goes on from there the next time. OutputError where there is
        another one, a checkpoint of another, or a page of something else, unless `force`.
        """
        purpose, path = self._purpose(how), self.folder / GENERATOR
        if path.exists():
            transformer, found = generator.read(path)
            if found == purpose:
                return transformer
            if not force:
                raise OutputError(f"{path} was made otherwise (another model, set, size or run); -f makes it anew")
        begun = path.with_name(path.name + ".checkpoint")
        if not (force or path.exists() or begun.exists()):
            self._check_unused()
        torch.manual_seed(how.seed)
        pupil = Pupil(Transformer(purpose.sizes, how.dropout), how, purpose.as_dict())
        _go_on(pupil, begun, force)
        if not learn(pupil, sequences.to_sequences(sequences.indices_of(self.codec, self.train)), begun):
            return None
        pupil.transformer.requires_grad_(False)
        (self.folder / FIGURES).unlink(missing_ok=True)
        generator.write(path, pupil.transformer, purpose)
        begun.unlink(missing_ok=True)
        return pupil.transformer

    def _check_unused(self) -> None:
        for path in (self.folder / PAGE, self.folder / FIGURES):
            if path.exists():
                raise OutputError(
                    f"{path} is of no generator in this folder; choose another with -o, or replace it with -f"
                )

    @cached_property
    def _described(self) -> str:
        return f"{self.name}: {len(self.train)} pictures, crc {checksum(self.train):08x}"

    def _purpose(self, how: Schooling) -> Purpose:
        sizes = sequences.sizes_of(self.codec, self.train.shape, **self.network)
        return Purpose(self.codec.metadata.fingerprint, self._described, sizes, how.as_dict())

    def drawn(self, transformer: Transformer, count: int, how: Drawing) -> Tensor:
        """Return `count` samples, indices int64 [count, P, h', w'], the same for the same seed."""
        numbers = torch.Generator().manual_seed(how.seed)
        at_once, found = transformer.sizes.drawn_at_once, []
        with tqdm(total=count, desc="samples", unit="", leave=False, disable=None) as bar:
            for start in range(0, count, at_once):
                part = min(at_once, count - start)
                found.append(transformer.sample(part, numbers, how.temperature, how.top))
                bar.update(part)
        return sequences.to_indices(torch.cat(found), self.codec.quantizer.settings.planes, self.grid)

    def by_tables(self, count: int, seed: int) -> Tensor:
        """Return `count` samples of the model's own frequency tables, which know of no index what is beside it."""
        size = Size(self.train.shape[2], self.train.shape[1], DEFAULT_QUALITY)
        draw = (tokens.sample(seed + i, size, self.codec.metadata, self.codec.prior) for i in range(count))
        return torch.from_numpy(np.stack([encoded.choice.indices for encoded in draw]).astype(np.int64))

    def page(self, transformer: Transformer, how: Drawing) -> None:
        """Write a page of PAGE_SIDE x PAGE_SIDE samples, and remove what was measured for the page before it."""
        shown = sequences.pictures_of(self.codec, self.drawn(transformer, PAGE_SIDE**2, how))
        _, height, width, channels = shown.shape
        rows = shown.reshape(PAGE_SIDE, PAGE_SIDE, height, width, channels).transpose(0, 2, 1, 3, 4)
        page = np.ascontiguousarray(rows.reshape(PAGE_SIDE * height, PAGE_SIDE * width, channels))
        (self.folder / FIGURES).unlink(missing_ok=True)
        write_picture(Picture(page), self.folder / PAGE, force=True)

    def measure(self, transformer: Transformer, learned: Schooling, how: Drawing, count: int) -> dict[str, Any]:
        """Measure the distances of `count` pictures of each kind, or all, from as many test pictures; write them.

        Pictures of a set are spread evenly over it, which often is in the order of its classes or photographs.
        """
        count = min(count, len(self.test), len(self.train))
        originals = _spread(self.test, count)
        distances, indices = Distances(originals), sequences.indices_of(self.codec, originals)
        torch.manual_seed(0)
        untrained = Transformer(transformer.sizes).eval().requires_grad_(False)
        # Each kind is made when it is measured: two thousand pictures of 256 x 256 take 400 MB.
        kinds: dict[str, Callable[[], Pixels]] = {
            "training pictures": lambda: _spread(self.train, count),
            "reconstructions": lambda: self._shown(indices),
            "samples": lambda: self._shown(self.drawn(transformer, count, how)),
            "samples of the model's tables": lambda: self._shown(self.by_tables(count, how.seed)),
            "samples of an untrained generator": lambda: self._shown(self.drawn(untrained, count, how)),
        }
        values = {
            "model": self.codec.metadata.fingerprint,
            "generator": self._purpose(learned).as_dict(),
            "drawing": asdict(how),
            "pictures": len(originals),
            "distance": NAME,
            "bits_per_index": bits(transformer, sequences.to_sequences(indices)),
            "distances": {name: distances.to(made()) for name, made in kinds.items()},
        }
        with atomic_write(self.folder / FIGURES, force=True) as file:
            file.write((json.dumps(values, indent=1) + "\n").encode())
        return values

    def _shown(self, indices: Tensor) -> Pixels:
        return sequences.pictures_of(self.codec, indices)


def _spread(pictures: Pixels | PictureFiles, count: int) -> Pixels:
    """Return `count` pictures uint8 [count, H, W, C] of a set, evenly spread over it."""
    return pictures[np.arange(count) * len(pictures) // count]


def _go_on(pupil: Pupil, path: Path, force: bool) -> None:
    """Let a run go on where its checkpoint is; OutputError where that is of another run, unless `force`."""
    if not path.exists():
        return
    try:
        values = checkpoint.read(path)
        if values["settings"] == pupil.said:
            pupil.load_state_dict(values)
            return
    except (InputError, RuntimeError, LookupError, TypeError, ValueError) as error:
        raise OutputError(f"{path} cannot be gone on with; delete it, and the run starts anew") from error
    if not force:
        raise OutputError(f"{path} is of another run (another model, set, size or length); -f starts anew")


def table(values: dict[str, Any]) -> list[str]:
    """Return what was measured as the lines of a table."""
    rows = [f"| {name} | {distance:.2f} |" for name, distance in values["distances"].items()]
    head = f"| {values['pictures']:,} pictures each | distance from test pictures |"
    return [head, "|---|--:|", *rows]
