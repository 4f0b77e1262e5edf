"""Choices between codecs become strengths that say how often one is chosen over another; other files are refused."""

from __future__ import annotations

import importlib
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("choix")
sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
ranking: Any = importlib.import_module("ranking")


def choices(first: str, second: str, wins: int, losses: int, ties: int = 0, person: str = "ann") -> list[Any]:
    chosen = ["first"] * wins + ["second"] * losses + [None] * ties
    return [ranking.Choice(person, "a.png", first, second, what) for what in chosen]


def test_odds_of_two_codecs_are_those_of_their_choices() -> None:
    strong, weak = ranking.rank(choices("b", "a", 300, 100), 20)
    assert (strong.codec, weak.codec, strong.shown, strong.chosen) == ("b", "a", 400, 300)
    assert strong.strength - weak.strength == pytest.approx(math.log(3), abs=0.01)
    assert strong.low < strong.strength < strong.high and strong.strength == pytest.approx(-weak.strength)


def test_codecs_that_never_met_are_ranked_by_those_whom_both_met() -> None:
    found = ranking.rank(choices("a", "b", 40, 10) + choices("b", "c", 40, 10), 5)
    assert [one.codec for one in found] == ["a", "b", "c"]


def test_no_difference_is_half_a_choice_for_each() -> None:
    a, b = ranking.rank(choices("a", "b", 0, 0, 50), 5)
    assert a.chosen == b.chosen == 25 and a.strength == pytest.approx(0, abs=1e-6)


def test_people_who_disagree_make_a_wide_interval() -> None:
    agreed = [*choices("a", "b", 15, 5, person="ann"), *choices("a", "b", 15, 5, person="bob")]
    apart = [*choices("a", "b", 20, 0, person="ann"), *choices("a", "b", 10, 10, person="bob")]
    (near, _), (far, _) = (ranking.rank(found, 100) for found in (agreed, apart))
    assert near.strength == pytest.approx(far.strength)
    assert near.high - near.low < 1e-6 < far.high - far.low


def test_answers_that_were_saved_twice_count_once(tmp_path: Path) -> None:
    sides = {"picture": "a.png", "first": {"codec": "a"}, "second": {"codec": "b"}, "chosen": "first"}
    paths = []
    for person, count in (("ann", 1), ("ann", 3), ("ann", 2), ("bob", 1)):
        paths.append(tmp_path / f"{len(paths)}.json")
        said = {"format": ranking.FORMAT, "page": "p", "person": person, "choices": [sides] * count}
        paths[-1].write_text(json.dumps(said))
    assert len(ranking.read_choices(paths)) == 4


def test_a_page_file_is_read_and_another_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "choices.json"
    sides = {"picture": "a.png", "first": {"codec": "photo"}, "second": {"codec": "AVIF"}}
    answers = [{**sides, "chosen": "first"}, {**sides, "chosen": None}]
    said = {"format": ranking.FORMAT, "page": "p", "person": "ann", "choices": answers}
    path.write_text(json.dumps(said))
    ranking.main([str(path), "--resamples", "5"])
    assert "| photo | 2 | 75% |" in capsys.readouterr().out
    ranking.main([str(path), "--resamples", "5", "--json"])
    assert json.loads(capsys.readouterr().out)[0]["codec"] == "photo"
    for text in ("{}", "[1]", "no", json.dumps(said | {"format": "other"}), json.dumps(said | {"choices": [{}]})):
        path.write_text(text)
        with pytest.raises(SystemExit, match="holds no choices"):
            ranking.main([str(path)])
    path.write_text(json.dumps(said | {"choices": []}))
    with pytest.raises(SystemExit, match="no choices in these files"):
        ranking.main([str(path)])
