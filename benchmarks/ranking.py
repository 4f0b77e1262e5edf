"""A ranking of codecs from what people chose on pages of `vqc compare --blind`, by the model of Bradley and Terry.

    python benchmarks/ranking.py CHOICES.json... [--resamples 1000] [--json]

The model (Biometrika 39, 1952) says that A is chosen over B with the odds exp(strength of A - strength of B). "No
difference" counts as half a choice for each. Strengths are the most likely ones, with a weak prior so that a codec that
always won has one too, and have a mean of 0. The interval holds 95 % of what resampled people give; of one person
alone, resampled pictures. It needs the extra `ranking`.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import choix
import numpy as np
import numpy.typing as npt

from vqcodec.evaluation.compare.blind_page import FORMAT

PRIOR = 0.05


class Choice(NamedTuple):
    """An answer: whose, about which picture, and "first", "second" or None of two codecs."""

    person: str
    picture: str
    first: str
    second: str
    chosen: str | None


class Rank(NamedTuple):
    """A codec: how often it was shown and chosen, its strength, and what 95 % of resamples give."""

    codec: str
    shown: int
    chosen: float
    strength: float
    low: float
    high: float


def read_choices(paths: list[Path]) -> list[Choice]:
    """Return the answers of all files, of a person who saved a page twice the longer list; SystemExit for others."""
    found: dict[tuple[str, str], list[Choice]] = {}
    for path in paths:
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            if said["format"] != FORMAT:
                raise ValueError(f"its format is {said['format']!r}, not {FORMAT!r}")
            choices = [_choice(str(said["person"]), choice) for choice in said["choices"]]
            key = (str(said["page"]), str(said["person"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SystemExit(f"{path} holds no choices of `vqc compare --blind`: {error}") from error
        found[key] = max(found.get(key, []), choices, key=len)
    if not any(found.values()):
        raise SystemExit("there are no choices in these files; answer some questions first")
    return [choice for choices in found.values() for choice in choices]


def _choice(person: str, said: dict[str, Any]) -> Choice:
    if said["chosen"] not in ("first", "second", None):
        raise ValueError(f"it has a choice of {said['chosen']!r}")
    first, second = (str(said[side]["codec"]) for side in ("first", "second"))
    return Choice(person, str(said["picture"]), first, second, said["chosen"])


def rank(choices: list[Choice], resamples: int, seed: int = 0) -> list[Rank]:
    """Return the codecs, the strongest first."""
    names = sorted({name for choice in choices for name in (choice.first, choice.second)})
    groups = _groups(choices)
    wins = np.stack([_wins(names, group) for group in groups])
    numbers = np.random.default_rng(seed)
    drawn = (numbers.integers(len(wins), size=len(wins)) for _ in range(resamples))
    low, high = np.quantile([_strengths(wins[some].sum(0)) for some in drawn], (0.025, 0.975), axis=0)
    whole = wins.sum(0)
    shown = Counter(name for choice in choices for name in (choice.first, choice.second))
    values = zip(names, whole.sum(1), _strengths(whole), low, high, strict=True)
    ranks = [Rank(name, shown[name], float(won), *map(float, rest)) for name, won, *rest in values]
    return sorted(ranks, key=lambda one: -one.strength)


def _groups(choices: list[Choice]) -> list[list[Choice]]:
    """Return what is resampled as a whole: answers of a person, or where there is one alone, about a picture."""
    found = []
    for key in ("person", "picture"):
        by_key: dict[str, list[Choice]] = {}
        for choice in choices:
            by_key.setdefault(getattr(choice, key), []).append(choice)
        found = list(by_key.values())
        if len(found) > 1:
            return found
    return [[choice] for choice in choices]


def _wins(names: list[str], choices: list[Choice]) -> npt.NDArray[np.float64]:
    """Return how often the codec of a row was chosen over that of a column."""
    found = np.zeros((len(names), len(names)))
    for choice in choices:
        first, second = names.index(choice.first), names.index(choice.second)
        share = {"first": 1.0, "second": 0.0, None: 0.5}[choice.chosen]
        found[first, second] += share
        found[second, first] += 1 - share
    return found


def _strengths(wins: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = choix.ilsr_pairwise_dense(wins, alpha=PRIOR)
    return found - found.mean()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("choices", type=Path, nargs="+")
    parser.add_argument("--resamples", type=int, default=1000, choices=range(1, 10**6), metavar="N")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    ranks = rank(read_choices(options.choices), options.resamples)
    if options.json:
        print(json.dumps([one._asdict() for one in ranks]))
        return
    print("| codec | shown | chosen | strength | 95 % of resamples |")
    print("|---|---|---|---|---|")
    for one in ranks:
        interval = f"{one.low:+.2f} to {one.high:+.2f}"
        print(f"| {one.codec} | {one.shown} | {one.chosen / one.shown:.0%} | {one.strength:+.2f} | {interval} |")


if __name__ == "__main__":
    main()
