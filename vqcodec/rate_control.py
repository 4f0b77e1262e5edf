"""Rate control: the quality at which a picture's file keeps a limit or meets a target.

    goal                  the file that is chosen
    max_bytes             the highest quality whose whole file has at most so many bytes
    target_bpp            the size nearest to the target, among files at most 0.5 % above it
    target_psnr_db        the smallest file whose decoded picture has at least this PSNR
    target_ssimulacra2    the same for SSIMULACRA 2, which needs the extra `eval`
    quality               the file of this quality
    one more, max_bytes   that file if it keeps the limit, else a lower quality, as far as needed

Scores are of what is seen: of pictures with transparency both are laid over white, as `vqc verify` does.

A file of effort 1 is made in a fraction of the time of one of more effort, so files of effort 1 tell first about where
the quality lies. From there on two or three files of the wanted effort find the boundary: logarithms of bytes, and
scores, are nearly straight lines over the quality. They are not strictly monotonic, so the result is the best file of
all that were made.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from vqcodec.choices import DEFAULT_EFFORT, DEFAULT_QUALITY, check_quality
from vqcodec.errors import SettingsError, TargetError
from vqcodec.image import Picture, shown
from vqcodec.scores import PSNR, SSIMULACRA2, Score

QUALITIES = tuple(half_steps / 2 for half_steps in range(2, 201))
BPP_TOLERANCE = 0.005
SCOUT_EFFORT, MAX_SCOUTS = 1, 4
EXPENSIVE_EFFORT, MAX_EXPENSIVE = 7, 4
"""From this effort on, so many files are made of it at most, even where the boundary is not found."""
_GUIDED, _MOST = 5, 14
"""Files that follow the curve; where these were not enough, halving what is left ends after so many in all."""
_RISE = {"bytes": 0.015, "score": 0.1}
"""How much the logarithm of the bytes, and a score, grow from one quality to the next, until two files tell it."""
_LEAST_ASKED, _MOST_ASKED = 1e-9, 1e20
"""Between these, limits and targets have logarithms and differences that are numbers."""


class Coder(Protocol):
    """What rate control needs of a Codec."""

    def compress(self, picture: Picture, quality: float, effort: int) -> bytes:
        """Return the .vqc file of a picture."""

    def decompress(self, data: bytes) -> Picture:
        """Return the picture in a .vqc file."""


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

    def max_trials(self, effort: int) -> int:
        """Return how many files are made at most."""
        if self.start is not None and self.max_bytes is None:
            return 1
        scouts = MAX_SCOUTS if effort > SCOUT_EFFORT else 0
        return (self.start is not None) + scouts + _most(effort)


def _check_asked(name: str, value: float) -> None:
    """Raise SettingsError for a number that is none, or with which a search cannot calculate."""
    if value > _MOST_ASKED:
        raise SettingsError(f"{name} above {_MOST_ASKED:g} makes no sense; give a smaller number")
    if not value >= _LEAST_ASKED:
        raise SettingsError(f"{name} of {max(value, -_MOST_ASKED):g} makes no sense; give a larger number")


@dataclass(frozen=True)
class Trial:
    """A .vqc file and what made it; its score if the goal has one, and sentences on what was not met."""

    quality: float
    effort: int
    data: bytes
    score: float | None = None
    notes: tuple[str, ...] = ()


def seek(
    coder: Coder,
    picture: Picture,
    goal: Goal,
    effort: int = DEFAULT_EFFORT,
    on_trial: Callable[[], object] = lambda: None,
) -> Trial:
    """Return the file of a picture that meets a goal best; TargetError where none does, SettingsError without an extra.

    Files are made one after the other; `on_trial` is called after each. The result has effort 1 where no file of the
    wanted effort keeps the limit and one of that does.
    """
    goal.measure.check_extra()
    trials = _Trials(coder, picture, goal, on_trial)
    count = len(QUALITIES)
    if goal.start is not None:
        count = goal.start
        asked = trials.trial(count, effort)
        if not trials.too_much(asked):
            return asked
    place = count // 2
    if effort > SCOUT_EFFORT:
        place = trials.bracket(count, SCOUT_EFFORT, place, MAX_SCOUTS)
    trials.bracket(count, effort, place, _most(effort))
    return trials.best(effort)


def _most(effort: int) -> int:
    return MAX_EXPENSIVE if effort >= EXPENSIVE_EFFORT else _MOST


class _Seen(NamedTuple):
    """How much the file of a place in QUALITIES is too much, in a unit; below 0 where it is not."""

    place: int
    unit: str
    excess: float


class _Trials:
    """The files made so far, by place in QUALITIES and effort, and what the goal says of them."""

    def __init__(self, coder: Coder, picture: Picture, goal: Goal, on_trial: Callable[[], object]) -> None:
        self.coder, self.picture, self.goal, self.on_trial = coder, picture, goal, on_trial
        self.trials: dict[tuple[int, int], Trial] = {}
        self.rise = dict(_RISE)
        height, width = picture.pixels.shape[:2]
        self.bytes_per_bpp = height * width / 8
        self.max_bytes = math.inf if goal.max_bytes is None else goal.max_bytes
        self.score_of = goal.measure.load()
        self.limit_bytes = self.max_bytes
        if goal.target_bpp is not None:
            self.limit_bytes = min(self.max_bytes, (1 + BPP_TOLERANCE) * goal.target_bpp * self.bytes_per_bpp)

    def trial(self, place: int, effort: int) -> Trial:
        """Return the file of one quality, made only once."""
        key = place, effort
        if key not in self.trials:
            data = self.coder.compress(self.picture, QUALITIES[place], effort)
            score = None
            if self.goal.least is not None and len(data) <= self.limit_bytes:
                score = self.score_of(*shown(self.picture, self.coder.decompress(data)))
            self.trials[key] = Trial(QUALITIES[place], effort, data, score)
            self.on_trial()
        return self.trials[key]

    def too_much(self, trial: Trial) -> bool:
        """Whether a lower quality is to be tried next: the file is too large, or its score high enough."""
        return len(trial.data) > self.limit_bytes or self.reaches(trial)

    def reaches(self, trial: Trial) -> bool:
        """Whether a file has the score that is the target; False where there is no such target."""
        return self.goal.least is not None and trial.score is not None and trial.score >= self.goal.least

    def bracket(self, count: int, effort: int, place: int, most: int) -> int:
        """Look from a place on for the last of `count` that is not too much; return where it should be.

        At most `most` files are made.
        """
        low, high = -1, count
        seen: list[_Seen] = []
        for number in range(most):
            if high - low <= 1:
                break
            place = min(max(place, low + 1), high - 1)
            trial = self.trial(place, effort)
            seen.append(_Seen(place, *self._excess(trial)))
            if self.too_much(trial):
                high = place
            else:
                low = place
            place = self._root(seen) if number < _GUIDED else (low + high) // 2
        return min(max(place, 0), count - 1)

    def _root(self, seen: list[_Seen]) -> int:
        """Return the last place that should not be too much, by the line through the last one and its nearest."""
        last = seen[-1]
        others = [other for other in seen[:-1] if other.unit == last.unit]
        if others:
            nearest = min(others, key=lambda other: abs(other.place - last.place))
            rise = (last.excess - nearest.excess) / (last.place - nearest.place)
            if rise > 0:  # where sizes step back the line would lead the wrong way
                self.rise[last.unit] = rise
        return math.floor(last.place - last.excess / self.rise[last.unit] + 1e-9)

    def _excess(self, trial: Trial) -> tuple[str, float]:
        """Return how much a file is too much, in the logarithm of bytes or in the score, below 0 where it is not."""
        if self.goal.least is not None and trial.score is not None:
            return "score", trial.score - self.goal.least
        return "bytes", math.log(len(trial.data) / self.limit_bytes)

    def best(self, effort: int) -> Trial:
        """Return the best file that keeps the limit; TargetError where there is none."""
        within = [trial for trial in self.trials.values() if len(trial.data) <= self.limit_bytes]
        if not within:
            raise TargetError(self._too_large())
        best = max(within, key=lambda trial: self._rank(trial, effort))
        missed = self.goal.least is not None and not self.reaches(best)
        if missed and len(within) == len(self.trials):
            raise TargetError(self._too_low(max(trial.score for trial in within if trial.score is not None)))
        if missed or self.goal.quality is not None:
            note = f"the quality is lower than asked for, to keep within {self.max_bytes:,} bytes"
            return replace(best, notes=(note,))
        return best

    def _rank(self, trial: Trial, effort: int) -> tuple[Any, ...]:
        """Return what makes one file that keeps the limit better than another: larger is better."""
        finished = trial.effort == effort  # at the same quality more effort gives a better picture
        size_bytes = len(trial.data)
        if self.goal.target_bpp is not None:
            return finished, -abs(size_bytes - self.goal.target_bpp * self.bytes_per_bpp)
        if self.goal.least is not None:
            reaches = self.reaches(trial)
            return reaches, finished, -size_bytes if reaches else trial.score
        return finished, trial.quality

    def _too_low(self, highest: float) -> str:
        measure = self.goal.measure
        wanted, reachable = measure.wanted.format(self.goal.least), measure.said.format(math.floor(100 * highest) / 100)
        return f"no quality reaches {wanted}; the highest is {reachable}"

    def _too_large(self) -> str:
        smallest_bytes = min(len(trial.data) for trial in self.trials.values())
        if self.limit_bytes == self.max_bytes:
            return f"no quality keeps within {self.max_bytes:,} bytes; the smallest file has {smallest_bytes:,} bytes"
        smallest_bpp = math.ceil(1000 * smallest_bytes / self.bytes_per_bpp) / 1000
        return (
            f"no quality keeps within {self.goal.target_bpp:g} bits per pixel; "
            f"the smallest file has {smallest_bpp:.3f} ({smallest_bytes:,} bytes)"
        )
