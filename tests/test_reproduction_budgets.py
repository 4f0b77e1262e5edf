"""Rows of a report are compared at one budget: what had more epochs or other pictures stands apart and says so."""

from __future__ import annotations

from typing import Any

from vqcodec.reproduction import markdown
from vqcodec.reproduction.runs import Entry, choose


def looc_1() -> dict[str, Entry]:
    """The rows of a table on CIFAR-10 by their text."""
    return {entry.text: entry for entry in choose(["looc-1"], ["cifar10"])}


def result(epochs: float, pictures: int = 20_000) -> dict[str, Any]:
    """What a report sees of a budget."""
    return {"epochs": epochs, "train_pictures": pictures}


def found(**epochs: Any) -> dict[str, Any]:
    """Results by the names of runs, of quick rows that begin with a word."""
    rows = looc_1()
    quick = {text.split(" ")[0]: entry for text, entry in rows.items() if text.endswith(", quick")}
    return {quick[key.replace("_", "-")].run.name: value for key, value in epochs.items()}  # type: ignore[union-attr]


def test_the_budget_of_most_rows_comes_first_and_others_stand_apart() -> None:
    chosen = list(looc_1().values())
    results = found(VQ_VAE=result(5), CVQ_VAE=result(5.004), SQ_VAE=result(4), PQ=result(10), LooC=result(10, 50_000))
    parts = markdown.by_budget(chosen, results)
    assert [said for said, _ in parts] == [
        "Rows with a result had 5 epochs of 20,000 pictures.",
        "Not to be compared with these are rows that had 10 epochs of 50,000 pictures:",
        "Not to be compared with these are rows that had 10 epochs of 20,000 pictures:",
        "Not to be compared with these are rows that had 4 epochs of 20,000 pictures:",
    ]
    assert [entry.run.name for _, part in parts[1:] for entry in part if entry.run] == [
        name for key in ("LooC", "PQ", "SQ_VAE") for name in found(**{key: 0})
    ]
    assert sorted(entry.text for _, part in parts for entry in part) == sorted(looc_1())
    assert {"VQ-VAE 1024x128, quick", "PQ 256x4x32"} <= {entry.text for entry in parts[0][1]}, "and what has no result"


def test_of_as_many_rows_the_longer_budget_comes_first_and_one_is_one() -> None:
    parts = markdown.by_budget(list(looc_1().values()), found(VQ_VAE=result(1), PQ=result(2)))
    assert [said.split(" had ")[1] for said, _ in parts] == [
        "2 epochs of 20,000 pictures.",
        "1 epoch of 20,000 pictures:",
    ]
