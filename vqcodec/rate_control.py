"""Rate control: the file of a picture that meets a goal best, by the quality that keeps a limit or meets a target.

A file of effort 1 is made in a fraction of the time of one of more effort, so files of effort 1 tell first about where
the quality lies. From there on two or three files of the wanted effort find the boundary: logarithms of bytes, and
scores, are nearly straight lines over the quality. They are not strictly monotonic, so the result is the best file of
all that were made. Where a file reaches a score by so little that the line says it of no lower quality, none of that is
made.

Of a drawn picture a file without loss is made first; where a score is wanted others count only if they are smaller
by more than a few bytes. Of a picture with drawn parts there are two kinds of files with indices, and each is looked
through: which is the smaller one depends on the quality.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from vqcodec.choices import DEFAULT_EFFORT, check_effort
from vqcodec.errors import TargetError
from vqcodec.goals import QUALITIES, Compressor, Goal, Trial
from vqcodec.image import Drawn, Picture, shown

SCOUT_EFFORT, MAX_SCOUTS = 1, 4
EXPENSIVE_EFFORT, MAX_EXPENSIVE = 7, 4
"""From this effort on, so many files are made of it at most, even where the boundary is not found."""
_GUIDED, _MOST = 5, 14
"""Files that follow the curve; where these were not enough, halving what is left ends after so many in all."""
_RISE = {"bytes": 0.015, "score": 0.1}
"""How much the logarithm of the bytes, and a score, grow from one quality to the next, until two files tell it."""
_NEAR = 6
"""Over so many qualities a line through the scores of two files is believed."""
_SURE = 0.7
"""A file that is above its target by this share of the rise to the next quality or less is the last that reaches it."""
_GAINED_DB = 0.2
"""What more effort than the scouts' adds to a PSNR at the same quality; pictures of Kodak gain 0.1 to 0.3 dB."""
_WORTH_BYTES = 16
"""What a file with indices may have less than one without loss: of a flat color it may, and comes back as another."""

_HALF_NOTE = "half the width and height are coded, since no quality of the whole is small enough"


def seek(
    coder: Compressor,
    picture: Picture,
    goal: Goal,
    effort: int = DEFAULT_EFFORT,
    on_trial: Callable[[], object] = lambda: None,
    *,
    lossy: bool = False,
    half: bool = False,
) -> Trial:
    """Return the file of a picture that meets a goal best; TargetError where none does, SettingsError without an extra.

    Files are made one after the other; `on_trial` is called after each that has indices. The result has effort 1 where
    no file of the wanted effort keeps the limit and one of that does. With `lossy` it has indices, nothing over them;
    with `half` indices of half the width and height, which without it only files have that are smaller than all others.
    """
    check_effort(effort)
    goal.measure.check_extra()
    exact = None if lossy or half else _exact(coder, picture, goal, effort)
    if exact is not None and goal.start is None and goal.least is None:
        return exact
    trials = _Trials(coder, picture, goal, on_trial, exact)
    kinds = (_Kind(half=True),) if half else trials.kinds(lossy)
    count = len(QUALITIES)
    if goal.start is not None:
        count = goal.start
        asked = min((trials.trial(count, effort, kind) for kind in kinds), key=lambda trial: len(trial.data))
        if exact is not None and len(exact.data) <= len(asked.data) + _WORTH_BYTES:
            return exact
        if not trials.too_much(asked):
            return asked
    for kind in kinds:
        _Search(trials, kind).run(count, effort)
    if half or goal.least is not None or trials.within():
        return trials.best(effort)
    _Search(trials, _Kind(half=True)).run(len(QUALITIES), effort)
    best = trials.best(effort)
    return replace(best, notes=(*best.notes, _HALF_NOTE))


def max_trials(goal: Goal, effort: int) -> int:
    """Return how many files `seek` makes at most, not counting one without loss.

    Of drawn parts twice as many, and as many again where a size needs half the width and height.
    """
    if goal.start is not None and goal.max_bytes is None:
        return 1
    scouts = MAX_SCOUTS if effort > SCOUT_EFFORT else 0
    return (goal.start is not None) + scouts + _most(effort)


def _exact(coder: Compressor, picture: Picture, goal: Goal, effort: int) -> Trial | None:
    """Return the file without loss, or None where there is none or it is not what a goal allows."""
    if goal.least is not None and goal.least > goal.measure.most:
        return None
    quality = QUALITIES[-1 if goal.start is None else goal.start]
    data = coder.without_loss(picture, quality)
    if data is None or len(data) > goal.limit_bytes(_area(picture)):
        return None
    return Trial(quality, effort, data, None if goal.least is None else goal.measure.most, is_lossless=True)


def _area(picture: Picture) -> int:
    height, width = picture.pixels.shape[:2]
    return int(height * width)


def _most(effort: int) -> int:
    return MAX_EXPENSIVE if effort >= EXPENSIVE_EFFORT else _MOST


class _Kind(NamedTuple):
    """What a file has over its indices, and whether these are of half the width and height."""

    drawn: Drawn | None = None
    half: bool = False


class _Seen(NamedTuple):
    """How much the file of a place in QUALITIES is too much, in a unit; below 0 where it is not."""

    place: int
    unit: str
    excess: float


class _Trials:
    """The files made so far, by place in QUALITIES, effort and kind, an exact one, and what the goal says of all."""

    def __init__(
        self, coder: Compressor, picture: Picture, goal: Goal, on_trial: Callable[[], object], exact: Trial | None
    ) -> None:
        self.coder, self.picture, self.goal, self.on_trial, self.exact = coder, picture, goal, on_trial, exact
        self.trials: dict[tuple[int, int, bool, bool], Trial] = {}
        self.bytes_per_bpp = _area(picture) / 8
        self.score_of = goal.measure.load()
        self.limit_bytes = goal.limit_bytes(_area(picture))
        if exact is not None and goal.least is not None:
            self.limit_bytes = max(1, len(exact.data) - 1 - _WORTH_BYTES)  # which has a logarithm

    def kinds(self, lossy: bool) -> tuple[_Kind, ...]:
        """Return what files may have over their indices: nothing, and drawn parts where there are some."""
        drawn = None if lossy else self.coder.drawn_parts(self.picture)
        return (_Kind(),) if drawn is None else (_Kind(), _Kind(drawn))

    def trial(self, place: int, effort: int, kind: _Kind) -> Trial:
        """Return the file of one quality and kind, made only once."""
        key = place, effort, kind.drawn is not None, kind.half
        if key not in self.trials:
            made = self._made(QUALITIES[place], effort, kind)
            self.trials[key] = replace(made, has_overlay=kind.drawn is not None, is_halved=kind.half)
            self.on_trial()
        return self.trials[key]

    def _made(self, quality: float, effort: int, kind: _Kind) -> Trial:
        if self.goal.least is None:
            return Trial(quality, effort, self.coder.compress(self.picture, quality, effort, *kind))
        data, decoded = self.coder.trial(self.picture, quality, effort, *kind)
        score = self.score_of(*shown(self.picture, decoded())) if len(data) <= self.limit_bytes else None
        return Trial(quality, effort, data, score)

    def within(self) -> list[Trial]:
        """Return the files that keep the limit."""
        return [trial for trial in self.trials.values() if len(trial.data) <= self.limit_bytes]

    def too_much(self, trial: Trial) -> bool:
        """Whether a lower quality is to be tried next: the file is too large, or its score high enough."""
        return len(trial.data) > self.limit_bytes or self.reaches(trial)

    def reaches(self, trial: Trial) -> bool:
        """Whether a file has the score that is the target; False where there is no such target."""
        return self.goal.least is not None and trial.score is not None and trial.score >= self.goal.least

    def best(self, effort: int) -> Trial:
        """Return the best file that keeps the limit, or the exact one; TargetError where there is none."""
        within = self.within()
        kinds = [[trial for trial in within if trial.has_overlay == kind] for kind in (False, True)]
        bests = (max(kind, key=lambda trial: self._rank(trial, effort)) for kind in kinds if kind)
        best = max(bests, key=lambda trial: self._rank_of_kind(trial, effort), default=None)
        missed = self.goal.least is not None and (best is None or not self.reaches(best))
        if missed and self.exact is not None:
            return self.exact
        if best is None:
            raise TargetError(self._too_large())
        if missed and len(within) == len(self.trials):
            raise TargetError(self._too_low(max(trial.score for trial in within if trial.score is not None)))
        if missed or (self.goal.quality is not None and best.quality < self.goal.quality):
            note = f"the quality is lower than asked for, to keep within {self.goal.max_bytes:,} bytes"
            return replace(best, notes=(note,))
        return best

    def _rank(self, trial: Trial, effort: int) -> tuple[Any, ...]:
        """Return what makes one file that keeps the limit better than another of its kind: larger is better."""
        finished = trial.effort == effort  # at the same quality more effort gives a better picture
        size_bytes = len(trial.data)
        if self.goal.target_bpp is not None:
            return finished, -abs(size_bytes - self.goal.target_bpp * self.bytes_per_bpp)
        if self.goal.least is not None:
            reaches = self.reaches(trial)
            return reaches, finished, -size_bytes if reaches else trial.score
        return finished, trial.quality

    def _rank_of_kind(self, trial: Trial, effort: int) -> tuple[Any, ...]:
        """Return the same of the best files of both kinds, which where a size is the target are both near it."""
        if self.goal.least is not None:
            return self._rank(trial, effort)
        return trial.effort == effort, trial.quality, -len(trial.data)

    def _too_low(self, highest: float) -> str:
        measure = self.goal.measure
        wanted, reachable = measure.wanted.format(self.goal.least), measure.said.format(math.floor(100 * highest) / 100)
        return f"no quality reaches {wanted}; the highest is {reachable}"

    def _too_large(self) -> str:
        smallest_bytes = min(len(trial.data) for trial in self.trials.values())
        if self.limit_bytes == self.goal.max_bytes:
            return f"no quality keeps within {self.limit_bytes:,} bytes; the smallest file has {smallest_bytes:,} bytes"
        smallest_bpp = math.ceil(1000 * smallest_bytes / self.bytes_per_bpp) / 1000
        return (
            f"no quality keeps within {self.goal.target_bpp:g} bits per pixel; "
            f"the smallest file has {smallest_bpp:.3f} ({smallest_bytes:,} bytes)"
        )


class _Search:
    """The way through the files of one kind, as far as these are not known yet."""

    def __init__(self, trials: _Trials, kind: _Kind) -> None:
        self.trials, self.goal, self.kind = trials, trials.goal, kind
        self.rise: dict[str, float] = {}

    def run(self, count: int, effort: int) -> None:
        """Make what finds the last of the first `count` qualities that is not too much."""
        place = count // 2
        if effort > SCOUT_EFFORT:
            place = self.scouted(count, place)
        self.bracket(count, effort, place, _most(effort), lambda rises: 0 <= rises <= _SURE)

    def scouted(self, count: int, place: int) -> int:
        """Return where the wanted effort should begin, as files of the scouts' effort say."""
        place = self.bracket(count, SCOUT_EFFORT, place, MAX_SCOUTS, lambda rises: abs(rises) <= _NEAR)
        if self.goal.target_psnr_db is not None and "score" in self.rise:
            place -= round(_GAINED_DB / self.rise["score"])
        return max(place, 0)

    def bracket(self, count: int, effort: int, place: int, most: int, is_enough: Callable[[float], bool]) -> int:
        """Look from a place on for the last of `count` that is not too much; return where it should be.

        At most `most` files are made. `is_enough` is told how far the score of the last one is above the target, in
        rises from one quality to the next, once two files tell these.
        """
        low, high = -1, count
        seen: list[_Seen] = []
        for number in range(most):
            if high - low <= 1:
                break
            place = min(max(place, low + 1), high - 1)
            trial = self.trials.trial(place, effort, self.kind)
            seen.append(_Seen(place, *self._excess(trial)))
            if self.trials.too_much(trial):
                high = place
            else:
                low = place
            if number >= _GUIDED:
                place = (low + high) // 2
                continue
            place = self._root(seen)
            if seen[-1].unit == "score" and "score" in self.rise and is_enough(seen[-1].excess / self.rise["score"]):
                break
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
        rises = last.excess / self.rise.get(last.unit, _RISE[last.unit])
        return math.floor(last.place - rises + 1e-9) if last.unit == "bytes" else math.ceil(last.place - rises - 1e-9)

    def _excess(self, trial: Trial) -> tuple[str, float]:
        """Return how much a file is too much, in the logarithm of bytes or in the score, below 0 where it is not."""
        if self.goal.least is not None and trial.score is not None:
            return "score", trial.score - self.goal.least
        return "bytes", math.log(len(trial.data) / self.trials.limit_bytes)
