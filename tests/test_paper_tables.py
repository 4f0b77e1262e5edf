"""The tables that are shipped: every row can be built, and says what was published."""

from __future__ import annotations

import importlib.util

from vqcodec import quantizers
from vqcodec.reproduction import paper_tables
from vqcodec.reproduction.runs import choose, distinct

EXTERNAL = ("fsq", "lfq", "simvq", "rotation")


def test_every_shipped_row_can_be_built() -> None:
    assert (
        paper_tables.names() == "cvq-3 cvq-4c cvq-4d dual-2 looc-1 looc-3 looc-4 looc-5 looc-6 looc-7 methods".split()
    )
    chosen = choose([])
    for entry in chosen:
        figures = [figure for published in entry.row.published.values() for figure in published]
        ours = entry.table.name == "methods" or entry.row.label == "LooC, both halves"
        assert bool(figures) != ours and set(figures) <= set(paper_tables.FIGURES)
        assert entry.table.epochs == 500 and entry.table.title and entry.table.source and entry.table.note
    for run, _ in distinct(chosen).values():
        settings = run.settings
        network, usual = ("vqgan", 256) if run.dataset == "photos" else ("vqvae", 128)
        d = {"fsq": 4, "lfq": 10}.get(settings.quantizer, usual)
        assert (settings.network, settings.d, settings.seed) == (network, d, 42)
        assert settings.channels == (3 if run.dataset in ("cifar10", "photos") else 1)
        if settings.quantizer not in EXTERNAL or importlib.util.find_spec("vector_quantize_pytorch"):
            assert quantizers.build(settings.quantizer_settings(), settings.options).d == d


def test_the_table_of_methods_has_them_all_trained_alike() -> None:
    quick = [entry.run.settings for entry in choose(["methods"], ["cifar10"], "quick$") if entry.run]
    assert {settings.quantizer for settings in quick} == set(quantizers.names())
    assert {(s.batch, s.schedule, s.learning_rate, s.adam_beta2) for s in quick} == {(8, "cosine", 1e-3, 0.95)}
    # What the report names as exceptions.
    weights = {settings.quantizer: settings.quantizer_weight for settings in quick}
    assert {name for name, weight in weights.items() if weight != 4} == {"gumbel", "sq", "lfq", "dual"}
    assert {s.quantizer for s in quick if s.options.get("learn") == "ema"} == {"vq", "cvq", "pq", "looc"}
    assert {s.quantizer for s in quick if s.match != "l2"} == {"fsq"}
    assert {s.quantizer for s in quick if s.standardised} == {"gumbel", "sq"}


def test_shipped_figures_and_names() -> None:
    looc = choose(["looc-1", "looc-3", "looc-5"], ["cifar10"], "^looc 256x4$")
    assert [entry.row.published["cifar10"]["psnr_db"] for entry in looc] == [34.51] * 3
    assert len(distinct(looc)) == 1, "three tables share a run"
    vq = choose(["looc-1", "looc-4", "cvq-3"], ["cifar10"], "vq-vae 1024x128$")
    assert {entry.row.method for entry in vq} == {"VQ-VAE", "HVQ-VAE", "CVQ-VAE", "A VQ-VAE"}
    assert len(distinct(vq)) == 3, "A is VQ-VAE"
    beta = [entry.run.settings for entry in choose(["looc-6"], ["cifar10"], "256x4, beta 4") if entry.run]
    ways = {(mode, match) for mode in ("all", "conditional", "smooth") for match in ("l2", "cosine")}
    assert {(settings.mode, settings.match) for settings in beta} == ways and {s.beta for s in beta} == {4}
    pq = choose(["looc-1"], ["mnist"], "^pq")[0]
    assert pq.run is not None and pq.run.size == "256 × 4 × 32" and pq.run.name.startswith("mnist-pq-256x4-l2-b128-")


def test_tables_of_larger_pictures_are_on_photos_with_the_published_codebooks() -> None:
    chosen = choose([], ["photos"])
    assert {entry.table.name for entry in chosen} == {"looc-6", "dual-2"}
    assert not any(entry.dataset in entry.row.published for entry in chosen), "published figures are of other data"
    sizes = {entry.run.size for entry in chosen if entry.run}
    assert sizes == {"1024 × 256", "256 × 4", "512 × 128 × 2", "512 × 128"}
    published, quick = (
        [entry.run.settings for entry in chosen if entry.run and entry.row.variant.endswith("quick") == is_quick]
        for is_quick in (False, True)
    )
    said = [
        {(s.network_settings().get("width"), s.crop, s.batch, s.learning_rate) for s in x} for x in (published, quick)
    ]
    assert said == [{(None, 256, 32, 1.44e-4)}, {(16, 64, 8, 1e-3)}]
    starts = {(entry.row.is_quick, entry.run.start and entry.run.start.name) for entry in chosen if entry.run}
    assert len(starts) == 2 and (False, None) in starts and (True, None) not in starts
    ways = {(s.quantizer, s.K, s.beta, s.mode) for s in quick}
    assert {(name, 1024, 1, "all") for name in ("vq", "cvq")} <= ways
    assert {("looc", 256, beta, "all") for beta in (1, 2, 3, 4)} <= ways
    assert {("looc", 256, 2, mode) for mode in ("conditional", "smooth")} <= ways
