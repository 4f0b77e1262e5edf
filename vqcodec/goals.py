"""What a file should be, a file that was made for it, and who makes it; rate_control.py finds the one for the other.

    goal                  the file that is chosen
    max_bytes             the highest quality whose whole file has at most so many bytes
    target_bpp            the size nearest to the target, among files at most 0.5 % above it
    target_psnr_db        the smallest file whose decoded picture has at least this PSNR
    target_ssimulacra2    the same for SSIMULACRA 2, which needs the extra `eval`
    quality               the file of this quality
    one more, max_bytes   that file if it keeps the limit, else a lower quality, as far as needed, or half the size

Of a drawn picture a file without loss takes the place of one of a quality, or with a score, that is not smaller by more
than 16 bytes. Where a size is all that is asked for it is the answer if it keeps that, since no other is better. Of a
picture with drawn parts files are made with these without loss over indices, and without; the better one is chosen.

Where a size is asked for that no quality keeps, half the width and height are coded, at the highest quality that keeps
it, and shown enlarged. Of the same bytes such a file looks worse than one of the lowest quality, but there are smaller
ones.

Files are made by the shipped model for looks; where a PSNR is asked for, by the one for least squared error.

Scores are of what is seen: of pictures with transparency both are laid over white, as `vqc verify` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from vqcodec.choices import DEFAULT_QUALITY, MODEL_FOR_LOOKS, MODEL_FOR_PSNR, check_quality
from vqcodec.errors import SettingsError
from vqcodec.image import Drawn, Picture
from vqcodec.scores import PSNR, SSIMULACRA2, Score

QUALITIES = tuple(half_steps / 2 for half_steps in range(2, 201))
BPP_TOLERANCE = 0.005
_LEAST_ASKED, _MOST_ASKED = 1e-9, 1e20
"""Between these, limits and targets have logarithms and differences that are numbers."""


@dataclass(frozen=True)
class Goal:
    """What a file should be; SettingsError for what contradicts itself. Empty, it is the default quality."""

    quality: float | None = None
    max_bytes: int | None = None
    target_bpp: float | None = None
    target_psnr_db: float | None = None
    target_ssimulacra2: float | None = None

    def __post_init__(self) -> None:
        asked = (self.quality, self.target_bpp, self.target_psnr_db, self.target_ssimulacra2)
        if sum(value is not None for value in asked) > 1:
            raise SettingsError(
                "a quality and targets in bpp, PSNR and SSIMULACRA 2 exclude one another; give one of them"
            )
        if self.quality is not None:
            check_quality(self.quality)
        for name in ("max_bytes", "target_bpp", "target_psnr_db", "target_ssimulacra2"):
            if (value := getattr(self, name)) is not None:
                _check_asked(name.replace("_", " "), value)

    @property
    def model(self) -> str:
        """The name of the shipped model whose files serve it best: for looks, unless a PSNR is asked for."""
        return MODEL_FOR_LOOKS if self.target_psnr_db is None else MODEL_FOR_PSNR

    @property
    def least(self) -> float | None:
        """The score that the decoded picture is to have at least, or None where size is all that counts."""
        return self.target_psnr_db if self.target_ssimulacra2 is None else self.target_ssimulacra2

    @property
    def measure(self) -> Score:
        """What `least` is a score by."""
        return PSNR if self.target_ssimulacra2 is None else SSIMULACRA2

    @property
    def start(self) -> int | None:
        """The number in QUALITIES of the quality that is tried before any other, or None."""
        quality = DEFAULT_QUALITY if self == Goal() else self.quality
        return None if quality is None else QUALITIES.index(check_quality(quality))

    def limit_bytes(self, pixels: int) -> float:
        """Return the most bytes that the file of a picture of so many pixels may have."""
        limit = math.inf if self.max_bytes is None else self.max_bytes
        if self.target_bpp is None:
            return limit
        return min(limit, (1 + BPP_TOLERANCE) * self.target_bpp * pixels / 8)


def _check_asked(name: str, value: float) -> None:
    """Raise SettingsError for a number that is none, or with which a search cannot calculate."""
    if value > _MOST_ASKED:
        raise SettingsError(f"{name} above {_MOST_ASKED:g} makes no sense; give a smaller number")
    if not value >= _LEAST_ASKED:
        raise SettingsError(f"{name} of {max(value, -_MOST_ASKED):g} makes no sense; give a larger number")


@dataclass(frozen=True)
class Trial:
    """A .vqc file and what made it; its score if the goal has one, and sentences on what was not met.

    is_lossless: whether it has the pixels themselves and no indices, so that quality and effort changed nothing.
    has_overlay: whether it has drawn parts without loss over its indices. is_halved: whether these are of half the
    width and height.
    """

    quality: float
    effort: int
    data: bytes
    score: float | None = None
    notes: tuple[str, ...] = ()
    is_lossless: bool = False
    has_overlay: bool = False
    is_halved: bool = False


class Compressor(Protocol):
    """What rate control needs of a Coder."""

    def compress(
        self, picture: Picture, quality: float, effort: int, drawn: Drawn | None = None, half: bool = False
    ) -> bytes:
        """Return the .vqc file of a picture, whose drawn parts may be without loss, or which may be coded at half."""

    def trial(
        self, picture: Picture, quality: float, effort: int, drawn: Drawn | None = None, half: bool = False
    ) -> tuple[bytes, Callable[[], Picture]]:
        """Return the same, and what returns the picture in it, for which more is kept in memory."""

    def drawn_parts(self, picture: Picture) -> Drawn | None:
        """Return the drawn parts of a picture, or None where there are none."""

    def without_loss(self, picture: Picture, quality: float) -> bytes | None:
        """Return a file that has the picture's pixels without loss, or None where it is not drawn."""
