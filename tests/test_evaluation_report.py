"""What vqc eval writes: rows of real files, curves, BD-rates, plots and the page."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from evaluating import evaluate, make_pictures, request
from PIL import Image
from tiny import Run

from vqcodec.evaluation import codecs, metrics
from vqcodec.evaluation.eval import report
from vqcodec.evaluation.metrics import learned


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with three pictures."""
    return make_pictures(tmp_path / "pictures")


def test_command_writes_everything(pictures: Path, tiny_model: Path, run: Run) -> None:
    output = pictures.parent / "out"
    options = ("--codec", tiny_model, "--codec", "jpeg", "--quality", "20,60,90", "--metrics", "psnr,ssim")
    result = run("eval", pictures, "-o", output, *options, "--anchors", "vtm", "--jobs", 1)
    assert result.code == 0, result.err
    names = {path.name for path in output.iterdir()}
    plots = {f"rd-{metric}.{suffix}" for metric in ("psnr", "ssim") for suffix in ("png", "svg")}
    assert names == {"journal.jsonl", "results.json", "results.csv", "report.html"} | plots
    results = json.loads((output / "results.json").read_text(encoding="utf-8"))
    assert len(results["rows"]) == 3 * 2 * 3
    assert {"Python", "torch", "Pillow", "bjontegaard"} <= set(results["versions"])
    assert results["machine"]["jobs"] == [1]
    assert results["codecs"]["tiny"]["settings"]["quantizer"]["K"] == 32
    assert results["published"]["vtm"]["source"]["repository"] == "InterDigitalInc/CompressAI"
    with (output / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["psnr"]) for row in rows] == [row["metrics"]["psnr"] for row in results["rows"]]
    assert "report.html: 3 pictures" in result.out.decode()


def test_rows_are_measured_on_the_real_files(pictures: Path) -> None:
    results = evaluate(request(pictures))
    codec = codecs.open_codec("webp")
    row = next(r for r in results["rows"] if (r["picture"], r["codec"], r["quality"]) == ("a.png", "webp", 60))
    with Image.open(pictures / "a.png") as image:
        pixels = np.array(image)
    data = codec.encode(pixels, 60)
    assert row["bytes"] == len(data)
    assert row["bpp"] == 8 * len(data) / (70 * 101)
    assert row["metrics"]["psnr"] == metrics.psnr(pixels, codec.decode(data))
    assert row["encode_seconds"] > 0
    assert row["decode_seconds"] > 0
    assert row["peak_memory_bytes"] is None or 0 <= row["peak_memory_bytes"] < 100e6


def test_pictures_below_a_window_are_reported_without_that_metric(pictures: Path) -> None:
    results = evaluate(request(pictures))
    small = [row for row in results["rows"] if row["picture"] == "below/small.png"]
    assert {row["metrics"]["ssim"] for row in small} == {None}
    assert results["metrics"]["ssim"]["pictures"] == 2
    page = (pictures.parent / "results" / "report.html").read_text(encoding="utf-8")
    assert "SSIM is of 2 of 3 pictures, because the others have a side below 11 pixels." in page


def test_rfid_is_a_value_of_all_pictures(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "load", lambda name: metrics.psnr)
    monkeypatch.setattr(learned, "rfid", lambda pairs: sum(metrics.psnr(*pair) for pair in pairs) / 3)
    results = evaluate(request(pictures, codecs=["jpeg"], metrics=["psnr", "rfid"]))
    curve = results["curves"]["rfid"]["jpeg"]
    assert curve["values"] == pytest.approx(results["curves"]["psnr"]["jpeg"]["values"])
    assert curve["bpp"] == results["curves"]["psnr"]["jpeg"]["bpp"]


def test_page_needs_nothing_from_outside(pictures: Path) -> None:
    evaluate(request(pictures, anchors=["vtm"]))
    page = (pictures.parent / "results" / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r"(?:src|href)=\"([^\"]*)\"", page)
    assert (
        sorted(source.partition(";")[0] for source in sources) == ["data:image/jpeg"] * 3 + ["data:image/svg+xml"] * 2
    )
    assert "{{" not in page
    for words in ("VTM 9.1*", "InterDigitalInc/CompressAI", "JPEG 4:2:0", "WebP"):
        assert words in page


def test_the_page_has_each_picture_with_its_rates(pictures: Path) -> None:
    results = evaluate(request(pictures))
    rates = results["by_picture"]["bd_rate_percent"]
    assert results["by_picture"]["metric"] == "psnr" and list(rates) == [p["name"] for p in results["pictures"]]
    page = (pictures.parent / "results" / "report.html").read_text(encoding="utf-8")
    table = page.split("Picture by picture")[1].split("</table>")[0]
    assert table.count('<img src="data:image/jpeg') == 3
    for name, by_codec in rates.items():
        assert f'<th scope="row">{name}</th>' in table
        assert f"{by_codec['webp']:+.1f} %".replace("-", "−") in table
    if hasattr(os, "getloadavg"):
        low, high = results["machine"]["load"]
        assert 0 <= low <= high and f"load was {low:g} to {high:g} meanwhile" in page


def test_plots_are_the_same_every_time(pictures: Path) -> None:
    evaluate(request(pictures))
    files = [pictures.parent / "results" / f"rd-psnr.{suffix}" for suffix in ("png", "svg")]
    before = [file.read_bytes() for file in files]
    evaluate(request(pictures))
    assert [file.read_bytes() for file in files] == before


def test_results_compare_with_jpeg(pictures: Path) -> None:
    results = evaluate(request(pictures, codecs=["webp", "jpeg", "jpeg-444"], anchors=["vtm", "jpeg"]))
    bd = results["bd_rate"]
    assert bd["reference"] == "jpeg"
    assert set(bd["against"]["psnr"]) == {"webp", "jpeg-444", "vtm*", "jpeg*"}
    assert report.bd_table(results)[0] == ("codec", "PSNR RGB (dB)", "SSIM (dB)")
    assert {row[0] for row in report.bd_table(results)[1:]} == {"WebP", "JPEG 4:4:4", "VTM 9.1*", "JPEG*"}
