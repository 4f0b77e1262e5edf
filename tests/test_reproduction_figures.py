"""The papers' figures again: curves over codevectors and over a training, drawn beside their tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vqcodec.reproduction import figures, markdown, report, results
from vqcodec.reproduction.paper_tables import FIGURE_KINDS, load, names
from vqcodec.reproduction.runs import Entry, choose
from vqcodec.reproduction.workbench import _thinned

LOG = {
    "step": [50, 100, 150],
    "psnr_db": [18.0, 19.0, 20.0],
    "usage": [0.1, 0.2, 0.3],
    "perplexity": [10.0, 20.0, 30.0],
}


def measured(psnr_db: float, K: int) -> dict[str, Any]:
    """What a work folder holds of a run; PSNR the papers' way and perplexity follow from what is given."""
    figures_of = {"psnr_db": psnr_db, "ssim": psnr_db / 50, "l1": 0.01}
    return {
        "run": "a run", "data": "cifar10: 6 pictures", "train_pictures": 6, "steps": 300, "epochs": 6.0, "seconds": 1,
        "settings": {"batch": 8}, "fingerprint": "ab", "log": LOG,
        "measured": {
            "pictures": 3, "bytes": 100.0, "usage": 0.5, "perplexity": K / 2, "lossless": figures_of,
            "papers": figures_of, "bpp": dict.fromkeys(("paper", "decoder", "payload", "file"), 1.0),
            "unit_usage": [0.5], "units_per_codevector": [],
        },
    }  # fmt: skip


def found(chosen: list[Entry]) -> dict[str, Any]:
    runs = [entry.run for entry in chosen if entry.run]
    return {run.name: measured(20 + i / 10, run.settings.K) for i, run in enumerate(runs)}


def drawn(axes: Any) -> dict[str, list[tuple[float, float]]]:
    return {line.get_label(): list(zip(*(map(float, v) for v in line.get_data()), strict=True)) for line in axes.lines}


def test_curves_over_codevectors_are_one_for_each_method_and_length() -> None:
    chosen = choose(["looc-fig6"], pattern="quick$")
    values = found(chosen)
    figure = figures.draw("looc-fig6", "codevectors", chosen, values)
    assert figure is not None and [axes.get_title(loc="left") for axes in figure.axes] == [
        "PSNR (dB)", "SSIM, papers' way", "perplexity",
    ]  # fmt: skip
    lines = drawn(figure.axes[0])
    looc = [f"LooC, d* = {d}, quick" for d in (4, 16, 64)]
    assert list(lines) == [*looc, *(f"{name}, d* = 128, quick" for name in ("VQ-VAE", "SQ-VAE", "CVQ-VAE"))]
    assert [point[0] for point in lines[looc[0]]] == [8, 32, 128, 512, 2048]
    run = next(e.run for e in chosen if e.run and (e.run.settings.K, e.run.settings.m) == (128, 8))
    assert (128, values[run.name]["measured"]["lossless"]["psnr_db"]) in lines["LooC, d* = 16, quick"]
    assert drawn(figure.axes[2])[looc[0]] == [(K, K / 2) for K in (8, 32, 128, 512, 2048)]
    assert figures.draw("looc-fig6", "codevectors", chosen, {}) is None
    one = {run.name: values[run.name]}
    assert figures.draw("looc-fig6", "codevectors", chosen, one) is None, "a point is no curve"


def test_what_had_other_budgets_is_another_curve() -> None:
    chosen = choose(["looc-fig6"], pattern="^LooC .*x4, quick$")
    values = found(chosen)
    for name, entry in zip(values, chosen, strict=True):
        assert entry.run is not None
        values[name] |= {"epochs": 2.0 if entry.run.settings.K in (8, 32) else 10.0}
    figure = figures.draw("looc-fig6", "codevectors", chosen, values)
    assert figure is not None
    sizes = {label: [point[0] for point in points] for label, points in drawn(figure.axes[0]).items()}
    label = "LooC, d* = 4, quick"
    of = "epochs of 6 pictures"
    assert sizes == {f"{label}, 2 {of}": [8, 32], f"{label}, 10 {of}": [128, 512, 2048]}


def test_a_budget_is_that_of_tables() -> None:
    chosen = choose(["looc-fig6"], pattern="^LooC .*x4, quick$")
    values = found(chosen)
    for name, epochs, pictures in zip(values, (5.0, 5.004, 5.02, 5.02, 5.02), (6, 6, 6, 6, 7), strict=True):
        values[name] |= {"epochs": epochs, "train_pictures": pictures}
    figure = figures.draw("looc-fig6", "codevectors", chosen, values)
    assert figure is not None
    assert [len(points) for points in drawn(figure.axes[0]).values()] == [2, 2], "one of 7 pictures is no curve"
    assert len(markdown.by_budget(chosen, values)) == 3


def test_curves_of_a_training_are_over_epochs_and_only_of_runs_that_kept_theirs() -> None:
    chosen = choose(["cvq-fig1"], pattern="quick$")
    values = found(chosen)
    figure = figures.draw("cvq-fig1", "training", chosen, values)
    assert figure is not None
    usage, _, psnr = (drawn(axes) for axes in figure.axes)
    assert list(usage) == ["A VQ-VAE, quick", "CVQ-VAE, quick"]
    assert usage["CVQ-VAE, quick"] == [(1, 0.1), (2, 0.2), (3, 0.3)], "300 steps are 6 epochs"
    assert psnr["A VQ-VAE, quick"][-1] == (3, 20.0)
    for run in values.values():
        del run["log"]
    assert figures.draw("cvq-fig1", "training", chosen, values) is None


def test_a_training_is_kept_in_at_most_fifty_places_with_its_end() -> None:
    entry = {"psnr_db": 1.0, "usage": 0.5, "perplexity": 3.0, "seconds": 7}
    for count in (1, 49, 50, 51, 1234):
        log = [{"step": 50 * (i + 1), "stage": "network", "psnr_db": 0.0} for i in range(2)]
        log += [entry | {"step": 50 * (i + 3)} for i in range(count)]
        kept = _thinned(log)
        assert set(kept) == {"step", "psnr_db", "usage", "perplexity"}
        assert len(kept["step"]) <= 50 and kept["step"][-1] == 50 * (count + 2)
        assert len(kept["step"]) >= min(count, 25) and len(kept["usage"]) == len(kept["step"])
    assert _thinned([]) == {"step": [], "psnr_db": [], "usage": [], "perplexity": []}


def test_the_report_draws_them_beside_their_tables(tmp_path: Path) -> None:
    work, output = tmp_path / "work", tmp_path / "report.md"
    work.mkdir()
    for name, values in found(choose(["cvq-4a"], ["cifar10"], "^VQ.*quick$")).items():
        results.write_run(work, name, values)
    report.write(work, output)
    picture = "results/report-cvq-4a-cifar10.png"
    assert f"![Codebooks of 32 to 1024 codevectors, on cifar10]({picture})" in output.read_text(encoding="utf-8")
    assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", names())
def test_tables_name_figures_that_there_are(name: str) -> None:
    assert load(name).figure in ("", *FIGURE_KINDS)
