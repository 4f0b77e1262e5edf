"""Curves: fair means, BD-rates that agree with published tables, and the published curves themselves."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest

from vqcodec.errors import SettingsError
from vqcodec.evaluation.eval import curves
from vqcodec.evaluation.eval.curves import BdRate, Curve


def row(picture: str, quality: float, bpp: float, **values: float | None) -> dict[str, Any]:
    """A row of results."""
    return {"picture": picture, "codec": "x", "quality": quality, "bpp": bpp, "metrics": values}


def published(name: str, metric: str = "psnr") -> Curve:
    """The curve of a published codec."""
    found = curves.anchor_curve(curves.load_anchor(name), metric)
    assert found is not None
    return found


def test_means_are_taken_at_one_quality() -> None:
    rows = [row("a", 10, 0.1, psnr=30.0), row("b", 10, 0.3, psnr=32.0), row("a", 50, 1.0, psnr=36.0)]
    rows.append(row("b", 50, 2.0, psnr=35.0))
    curve = curves.mean_curve(rows, "psnr", "X")
    assert (curve.qualities, curve.bpp, curve.values) == ((10, 50), (0.2, 1.5), (31.0, 35.5))


def test_pictures_without_a_metric_count_neither_in_its_rate_nor_in_its_value() -> None:
    rows = [row("a", 10, 0.1, ssim=0.9), row("small", 10, 8.0, ssim=None)]
    assert curves.mean_curve(rows, "ssim", "X").bpp == (0.1,)


def test_a_quality_that_lacks_a_picture_is_left_out() -> None:
    rows = [row("a", 10, 0.1, psnr=30.0), row("b", 10, 0.3, psnr=32.0), row("a", 50, 1.0, psnr=36.0)]
    assert curves.mean_curve(rows, "psnr", "X").qualities == (10,)


def test_twice_the_bits_are_a_hundred_percent() -> None:
    a = Curve("a", (0.1, 0.2, 0.5, 1.0), (28.0, 31.0, 34.0, 37.0))
    b = Curve("b", tuple(2 * bpp for bpp in a.bpp), a.values)
    assert curves.bd_rate(a, b, "psnr") == BdRate(pytest.approx(100), 28.0, 37.0)
    found = curves.bd_rate(b, a, "psnr", between=(29, 30))
    assert found == BdRate(pytest.approx(-50), 29, 30)


def test_curves_that_do_not_overlap_have_no_bd_rate() -> None:
    a, b = Curve("a", (0.1, 0.2), (20.0, 21.0)), Curve("b", (0.1, 0.2), (21.0, 22.0))
    assert curves.bd_rate(a, b, "psnr") is None
    assert curves.bd_rate(a, Curve("c", (0.1,), (20.5,)), "psnr") is None
    assert curves.bd_rate(a, Curve("d", (), ()), "psnr") is None


def test_points_that_cost_more_and_are_no_better_do_not_count() -> None:
    a = Curve("a", (0.1, 0.2, 0.4), (20.0, 21.0, 22.0))
    b = Curve("b", (0.1, 0.2, 0.3, 0.4), (20.0, 21.0, 20.5, 22.0))
    found = curves.bd_rate(a, b, "psnr")
    assert found is not None
    assert found.percent == pytest.approx(0, abs=1e-9)


def test_less_is_better_where_it_is() -> None:
    a, b = Curve("a", (0.1, 0.2, 0.4), (0.5, 0.3, 0.2)), Curve("b", (0.2, 0.4, 0.8), (0.5, 0.3, 0.2))
    found = curves.bd_rate(a, b, "lpips")
    assert found == BdRate(pytest.approx(100), -0.5, -0.2)


@pytest.mark.parametrize(
    ("name", "against_vtm", "against_jpeg"),
    [
        ("dcae", -17.0, -71.1),
        ("elic2022", -7.0, -67.9),
        ("mbt2018", 11.0, -61.0),
        ("bpg444", 22.0, -58.9),
        ("webp", 78.7, -36.2),
        ("measured-avif420", 50.4, -49.9),
        ("measured-avif444-psnr", 34.0, -53.6),
        ("measured-jpeg420", 179.8, -11.8),
        ("measured-jpeg2000-db", 80.9, -39.8),
        ("measured-webp", 75.2, -37.9),
    ],
)
def test_bd_rates_are_those_of_the_published_table(name: str, against_vtm: float, against_jpeg: float) -> None:
    for anchor, expected in (("vtm", against_vtm), ("jpeg", against_jpeg)):
        found = curves.bd_rate(published(anchor), published(name), "psnr")
        assert found is not None
        assert found.percent == pytest.approx(expected, abs=0.06)


def test_published_curves_name_their_source_and_rise() -> None:
    names = curves.anchor_names()
    assert {"vtm", "vtm18", "av1", "bpg444", "mbt2018", "clic2020-professional/vtm"} <= set(names)
    for name in names:
        anchor = curves.load_anchor(name)
        assert anchor["name"]
        assert (
            {"repository", "path", "commit"} <= set(anchor["source"]) if "measured" not in name else anchor["versions"]
        )
        curve = curves.anchor_curve(anchor, "psnr")
        assert curve is not None
        assert list(curve.bpp) == sorted(curve.bpp)
        assert curves.bd_rate(curve, curve, "psnr") is not None


def test_published_curves_are_small_and_named_when_asked_for_wrongly() -> None:
    folder = resources.files("vqcodec.evaluation.eval") / "anchors"
    assert sum(len(file.read_bytes()) for file in folder.iterdir()) < 300_000
    with pytest.raises(SettingsError, match=r"no published curve 'hevc'; choose from .*vtm"):
        curves.load_anchor("hevc")
    assert curves.anchor_curve(curves.load_anchor("vtm"), "vif") is None
