"""The tables that are shipped: every row can be built, and says what was published."""

from __future__ import annotations

import importlib.util

import pytest

from vqcodec import quantizers
from vqcodec.reproduction import paper_tables
from vqcodec.reproduction.runs import choose, distinct
from vqcodec.training.pictures.datasets import LARGE

NO_FIGURES = ("methods", "generation", "cvq-4a", "cvq-4b", "cvq-fig1", "looc-fig6")
"""Ours, and what was published as a drawing."""
EXTERNAL = ("fsq", "lfq", "simvq", "rotation")


def test_every_shipped_row_can_be_built() -> None:
    papers = (
        "cvq-2 cvq-3 cvq-4a cvq-4b cvq-4c cvq-4d cvq-fig1 dual-1 dual-2 dual-3 dual-s1 generation looc-1 "
        "looc-10 looc-11 looc-12 looc-2 looc-3 looc-4 looc-5 looc-6 looc-7 looc-9 looc-fig6"
    )
    assert paper_tables.names() == [*papers.split(), "methods"]
    chosen = choose([])
    for entry in chosen:
        figures = [figure for published in entry.row.published.values() for figure in published]
        ours = entry.table.name in NO_FIGURES or entry.row.label == "LooC, both halves"
        assert bool(figures) != ours and set(figures) <= set(paper_tables.FIGURES)
        assert entry.table.epochs == 500 and entry.table.title and entry.table.source and entry.table.note
    generated = distinct([entry for entry in chosen if entry.table.name == "looc-11"])
    for run, _ in distinct(chosen).values():
        settings = run.settings
        network, usual = ("vqgan", 256) if run.dataset in ("photos", *LARGE) else ("vqvae", 128)
        parts = settings.options.get("local_part", 1) * settings.options.get("global_part", 1)
        # Of unequal halves a file has two of the wider one, three quarters of the channels each.
        usual = {1: usual, 3: 2 * usual * 3 // 4}[parts]
        d = {"fsq": 4, "lfq": 10}.get(settings.quantizer, 8 if run.name in generated else usual)
        if (settings.quantizer, settings.K) not in (("vq", 1024), ("sq", 1024), ("cvq", 1024), ("gumbel", 1024)):
            assert settings.d == d
        assert (settings.network, settings.seed) == (network, 42)
        assert settings.channels == (1 if run.dataset in ("mnist", "fashion") else 3)
        if settings.quantizer not in EXTERNAL or importlib.util.find_spec("vector_quantize_pytorch"):
            assert (
                quantizers.build(settings.quantizer_settings(), settings.options).d == settings.d * settings.subpixel**2
            )


def test_every_row_of_the_papers_tables_on_small_pictures_has_a_quick_one() -> None:
    for name in paper_tables.names():
        for entry in choose([name], pattern=""):
            if entry.row.variant or entry.run is None or entry.dataset in ("photos", *LARGE):
                continue
            twins = [e for e in choose([name], [entry.dataset], "quick$") if e.row.label == entry.row.label and e.run]
            assert any(e.run and e.run.settings.K == entry.run.settings.K for e in twins), entry.text
            kept = {e.run.settings.match for e in twins if e.run and e.run.settings.K == entry.run.settings.K}
            if name in ("cvq-3", "cvq-4c"):
                assert kept == {entry.run.settings.match}, "what these tables are about"


@pytest.mark.parametrize(("table", "dataset"), [("looc-2", "ffhq"), ("dual-1", "coco"), ("dual-2", "photos")])
def test_rows_as_vqgan_differ_from_those_beside_them_by_its_loss(table: str, dataset: str) -> None:
    for ending in ("", ", quick"):
        beside, judged = (
            next(e.run.settings.as_dict() for e in choose([table], [dataset], f"{said}{ending}$") if e.run)
            for said in ("^VQ(GAN)? 1024x256", "^VQ(GAN)? 1024x256, as VQGAN")
        )
        differing = {key for key in judged if judged[key] != beside[key]} - {"batch"}
        assert differing == paper_tables.AS_VQGAN.keys() and paper_tables.AS_VQGAN.items() <= judged.items()
    (looc,) = [e.run.settings.as_dict() for e in choose(["looc-11"], ["imagenet"], "as VQGAN$") if e.run]
    assert paper_tables.AS_VQGAN.items() <= looc.items()


def test_what_was_released_is_a_row_beside_the_text_s() -> None:
    (pq,) = [e.run.settings for e in choose(["looc-1"], pattern="^pq as released 8x4x32$") if e.run]
    assert (pq.K, pq.m, pq.rows, pq.match, pq.quantizer_weight) == (8, 32, 4, "cosine", 32.0)
    assert pq.options == {"anchor": "probrandom"}
    names = {
        e.run.name.rpartition("-")[0] for e in choose(["looc-1", "looc-6"], ["cifar10"], "released.*quick") if e.run
    }
    betas = {f"cifar10-looc-256x4-subpixel{beta}-l2-b8" for beta in (2, 3, 4)}
    assert names == {"cifar10-pq-8x4-rows4-cosine-b8"} | betas
    beta = [e.run.settings for e in choose(["looc-6"], ["cifar10"], "256x4, beta . as released$") if e.run]
    assert [(s.subpixel, s.beta, s.m, s.quantizer_settings().d_star) for s in beta] == [
        (2, 1, 128, 4), (3, 1, 288, 4), (4, 1, 512, 4),
    ]  # fmt: skip
    assert not [e for e in choose(["looc-6"], ["photos"]) if e.run and e.run.settings.subpixel > 1]


def test_dual_has_unequal_halves_on_small_pictures_and_as_published_on_photos() -> None:
    found = [e for e in choose(["dual-2"], pattern="192") if e.run]
    sizes = [(e.dataset, e.row.variant, e.run.settings.d, dict(e.run.settings.options)) for e in found if e.run]
    assert [size[:3] for size in sizes] == [("cifar10", "", 192), ("cifar10", "quick", 192)] * 2 + [
        ("photos", "", 384)
    ] * 2
    assert sizes[-2][3] == {"local_part": 3} and sizes[-1][3] == {"global_part": 3}


def test_the_table_of_methods_has_them_all_trained_alike() -> None:
    quick = [entry.run.settings for entry in choose(["methods"], ["cifar10"], "quick$") if entry.run]
    assert {settings.quantizer for settings in quick} == set(quantizers.names())
    assert {(s.batch, s.schedule, s.learning_rate, s.adam_beta2) for s in quick} == {(8, "cosine", 1e-3, 0.95)}
    # What the report names as exceptions.
    weights = {settings.quantizer: settings.quantizer_weight for settings in quick}
    assert {name for name, weight in weights.items() if weight != 4} == {"gumbel", "sq", "lfq", "dual", "hqa"}
    assert {s.quantizer for s in quick if s.options.get("learn") == "ema"} == {"vq", "cvq", "pq", "looc", "restart"}
    assert {s.quantizer for s in quick if s.match != "l2"} == {"fsq"}
    assert {s.quantizer for s in quick if s.standardised} == {"gumbel", "sq", "hqa", "regvq", "vqwae"}


def test_shipped_figures_and_names() -> None:
    looc = choose(["looc-1", "looc-3", "looc-5"], ["cifar10"], "^looc 256x4$")
    assert [entry.row.published["cifar10"]["psnr_db"] for entry in looc] == [34.51] * 3
    assert len(distinct(looc)) == 1, "three tables share a run"
    vq = choose(["looc-1", "looc-4", "cvq-3"], ["cifar10"], "(vq-vae|reset) 1024x128$")
    assert {entry.row.method for entry in vq} == {
        "VQ-VAE", "VQ with HVQ-VAE's reset", "HVQ-VAE", "CVQ-VAE", "A VQ-VAE",
    }  # fmt: skip
    assert len(distinct(vq)) == 4, "A is VQ-VAE"
    beta = [entry.run.settings for entry in choose(["looc-6"], ["cifar10"], "256x4, beta 4(,|$)") if entry.run]
    ways = {(mode, match) for mode in ("all", "conditional", "smooth") for match in ("l2", "cosine")}
    assert {(settings.mode, settings.match) for settings in beta} == ways and {s.beta for s in beta} == {4}
    pq = choose(["looc-1"], ["mnist"], "^pq")[0]
    assert pq.run is not None and pq.run.size == "256 × 4 × 32" and pq.run.name.startswith("mnist-pq-256x4-l2-b128-")


def test_tables_of_larger_pictures_are_on_photos_with_the_published_codebooks() -> None:
    chosen = choose([], ["photos"])
    assert {entry.table.name for entry in chosen} == {"looc-6", "dual-2", "dual-3"}
    assert not any(entry.dataset in entry.row.published for entry in chosen), "published figures are of other data"
    sizes = {entry.run.size for entry in chosen if entry.run}
    assert sizes == {
        "1024 × 256", "256 × 4", "512 × 128 × 2", "512 × 128", "512 × 192 × 2", "1024 × 128 × 2",
    }  # fmt: skip
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
