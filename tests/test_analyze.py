"""vqc analyze: the counting by hand, the figures of a real run, what is written, and bad input."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import chromium
import numpy as np
import pytest
from PIL import Image
from tiny import Run, picture

from vqcodec.codec import Codec
from vqcodec.errors import InputError, SettingsError
from vqcodec.evaluation.analyze import run as analyze
from vqcodec.evaluation.analyze import usage, usage_plots
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.exact.indices import unpack
from vqcodec.exact.priors import ContextPrior
from vqcodec.image import read_picture

VECTORS = Path(__file__).parent.parent / "bitstream" / "vectors"
GOOD = json.loads((VECTORS / "vectors.json").read_text())["good"]
WITH_INDICES = [entry for entry in GOOD if not entry["about"].startswith("pixels of")]
NAMES = ("codebook", "ranks", "unit_usage", "sharing", "entropy", "storage")
PROGRAM = chromium.find()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three pictures, one of them in a subfolder, and one that is none."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "more").mkdir()
    for name, size in (("a.png", (70, 101)), ("b.png", (64, 64)), ("more/c.png", (33, 100))):
        Image.fromarray(picture(*size, seed=len(name))).save(folder / name)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def values(tiny_codec: Codec, photos: Path) -> dict[str, Any]:
    """The figures of the tiny model on the photos."""
    return analyze.analyze(tiny_codec, analyze.find_sources([photos]), 60).values


def test_counting() -> None:
    indices = np.array([[[0, 1], [1, 1]], [[3, 3], [3, 3]]], dtype=np.uint16)
    assert usage.count(indices, 4, np.ones(indices.shape, bool)).tolist() == [[1, 3, 0, 0], [0, 0, 0, 4]]


def test_coarse_planes_count_for_their_unit() -> None:
    counts = np.array([[5, 0], [1, 1], [2, 2]])
    assert usage.unit_counts(counts, wide=1).tolist() == [[6, 1], [2, 2]]
    assert usage.unit_counts(counts, wide=0).tolist() == counts.tolist()


def test_entropy() -> None:
    counts = np.array([[4, 4, 4, 4], [7, 0, 0, 0], [0, 0, 0, 0], [2, 1, 1, 0]])
    assert usage.entropy(counts) == pytest.approx([2, 0, 0, 1.5])


def test_sharing_is_figure_8() -> None:
    units = np.array([[9, 1, 0, 0], [3, 0, 0, 5], [1, 1, 0, 0]])
    assert usage.sharing(units) == ([3, 2, 0, 1], [0.75, 0.5, 0.25])


@pytest.mark.parametrize("entry", WITH_INDICES, ids=lambda entry: Path(entry["file"]).stem)
def test_bits_of_planes_add_up_to_those_of_the_prior(entry: dict[str, str]) -> None:
    metadata, prior = model_file.load_prior(VECTORS / "models" / f"{entry['model']}.safetensors")
    encoded = unpack(container.read((VECTORS / entry["file"]).read_bytes()), metadata, prior)
    seen = usage.Usage.empty(len(encoded.choice.indices), prior.K).plus(encoded, prior)
    assert seen.table_bits.shape == encoded.choice.indices.shape[:1]
    bits = prior.bits(encoded.choice.indices, encoded.choice.classes, encoded.size.quality)
    assert seen.table_bits.sum() == pytest.approx(bits[1])


def test_only_indices_that_are_coded_are_counted() -> None:
    entry = next(entry for entry in GOOD if entry["model"].startswith("context"))
    metadata, prior = model_file.load_prior(VECTORS / "models" / f"{entry['model']}.safetensors")
    assert isinstance(prior, ContextPrior)
    encoded = unpack(container.read((VECTORS / entry["file"]).read_bytes()), metadata, prior)
    pairs = encoded.choice.classes.reshape(-1, 2, *encoded.choice.classes.shape[1:])
    has_coarse = prior.coarse_map[pairs[:, 0], pairs[:, 1]] != 65535
    counts = usage.Usage.empty(len(encoded.choice.indices), prior.K).plus(encoded, prior).counts
    units = len(has_coarse)
    assert counts[:units].sum(axis=1).tolist() == has_coarse.sum(axis=(1, 2)).tolist()
    assert (counts[units:].sum(axis=1) == encoded.choice.indices[0].size).all() and 0 < has_coarse.mean() < 1


def test_codebook_is_drawn_as_it_is_up_to_two_dimensions_and_by_pca_above() -> None:
    random = np.random.default_rng(1)
    plane = random.normal(size=(50, 2)).astype(np.float32)
    points, shown = usage.principal_plane(plane)
    assert np.array_equal(points, plane) and shown == 1
    assert usage.principal_plane(plane[:, :1])[0].tolist() == [[float(x), 0.0] for x in plane[:, 0]]
    axes, _ = np.linalg.qr(random.normal(size=(5, 2)))
    points, shown = usage.principal_plane((plane @ axes.T + 3).astype(np.float32))
    distances = [np.linalg.norm(p[:, None] - p, axis=2) for p in (points, plane)]
    assert distances[0] == pytest.approx(distances[1], abs=1e-5) and shown == pytest.approx(1)
    assert usage.principal_plane(random.normal(size=(50, 5)).astype(np.float32))[1] < 0.9


def test_figures_agree_with_each_other_and_with_the_files(
    values: dict[str, Any], tiny_codec: Codec, photos: Path
) -> None:
    cells, settings = [5 * 7, 4 * 4, 3 * 7], tiny_codec.quantizer.settings
    assert [row["picture"] for row in values["pictures"]] == ["a.png", "b.png", "c.png"]
    assert [row["h"] * row["w"] for row in values["pictures"]] == cells and values["skipped_pictures"] == 1
    assert (len(values["units"]), len(values["planes"])) == (settings.m, settings.planes)
    assert values["codebook"]["indices"] == sum(values["codebook"]["counts"]) == settings.planes * sum(cells)
    assert all(plane["indices"] == sum(cells) for plane in values["planes"])
    for item in (values["codebook"], *values["units"], *values["planes"]):
        assert 0 < item["used"] / settings.K == item["usage"] <= 1
        assert 1 <= item["perplexity"] <= item["used"] + 1e-9 and item["entropy_bits"] <= math.log2(item["used"]) + 1e-9
    files = [tiny_codec.compress(read_picture(photos / name), 60) for name in ("a.png", "b.png")]
    assert [row["bytes"] for row in values["pictures"][:2]] == [len(data) for data in files]


def test_storage_is_the_papers_arithmetic(values: dict[str, Any], tiny_codec: Codec) -> None:
    storage, cells, settings = values["storage"], 5 * 7 + 4 * 4 + 3 * 7, tiny_codec.quantizer.settings
    K, m, d_star, wide = settings.K, settings.m, settings.d_star, settings.wide
    assert storage["codebook"]["vq_bits"] == 32 * K * m * d_star and storage["codebook"]["bits"] == 32 * K * d_star
    assert storage["paper_bits"] == storage["decoder_bits"] == cells * m * math.log2(K)
    assert storage["fixed_bits"] == cells * (m + wide) * math.log2(K)
    assert storage["file_bits"] == 8 * sum(row["bytes"] for row in values["pictures"])
    assert storage["entropy_bits"] < storage["file_bits"] < storage["fixed_bits"]
    tables = sum(plane["table_bits"] * plane["indices"] for plane in values["planes"])
    assert tables + storage["class_bits"] == pytest.approx(storage["entropy_bits"])
    assert storage["bpp"]["paper"] == pytest.approx(storage["paper_bits"] / (70 * 101 + 64 * 64 + 33 * 100))


def test_command_writes_everything(run: Run, photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    output = tmp_path / "analysis"
    result = run("analyze", tiny_model, photos, "-o", output, "-q", 60)
    assert result.code == 0 and f"{output / 'index.html'}: 3 pictures, " in result.out.decode()
    assert "note: skipped: " in result.err and "broken.png is not an image" in result.err
    assert "index planes have fewer than 320 indices for 32 codevectors, the least has 72" in result.err
    plots = {f"{name}.{kind}" for name in NAMES for kind in ("png", "svg")}
    assert {path.name for path in output.iterdir()} == plots | {"analysis.json", "index.html"}
    for name in NAMES:
        assert min(read_picture(output / f"{name}.png").pixels.shape[:2]) > 300
        assert b"</svg>" in (output / f"{name}.svg").read_bytes()
    written = {path.name: path.read_bytes() for path in output.iterdir()}
    again = run("analyze", tiny_model, photos, "-o", output, "-q", 60, "-f", "--json")
    assert json.loads(again.out) == json.loads(written["analysis.json"])
    assert {path.name: path.read_bytes() for path in output.iterdir()} == written


def test_page_is_complete_and_alone(run: Run, photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    assert run("analyze", tiny_model, photos / "a.png", "-o", tmp_path / "new").code == 0
    page = (tmp_path / "new" / "index.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == len(NAMES)
    assert "{{" not in page and not re.search(r"https?:|url\(|src=\"(?!data:)", page)
    for words in ("What the codebook of tiny does", "1 picture at quality 50.", "m = 12 units, ", "a.png"):
        assert words in page


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium is on this machine; apt-get install chromium")
@pytest.mark.parametrize(("width", "dark"), [(360, True), (1280, False)])
def test_page_as_it_is_seen(run: Run, photos: Path, tiny_model: Path, tmp_path: Path, width: int, dark: bool) -> None:
    assert PROGRAM is not None
    assert run("analyze", tiny_model, photos, "-o", tmp_path / "new").code == 0
    with chromium.Browser(PROGRAM, tmp_path / "profile") as browser:
        browser.open(tmp_path / "new" / "index.html", width, 800, dark=dark)
        assert browser.evaluate("[...document.images].every(image => image.naturalWidth > 100)")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        left, top, *_ = (round(value) for value in browser.box("figure"))
        card = browser.screenshot()[top + 5, left + 5]
        assert (card.max() < 60) == dark and (card.min() > 240) != dark
        assert browser.errors == [] and {address.split(":")[0] for address in browser.requests} == {"file", "data"}


def test_every_codevector_used_and_other_shapes_are_drawn(values: dict[str, Any]) -> None:
    changed = json.loads(json.dumps(values))
    changed["codebook"]["counts"] = [1] * 32
    changed["codebook"]["points"][0] = [1e3, 1e3]
    changed["model"]["quantizer"]["d_star"] = 5
    plots = usage_plots.draw(changed)
    assert [plot.name for plot in plots] == list(NAMES)
    assert "5 dimensions, drawn by two principal components" in plots[0].text


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(SettingsError, match=r"pip install 'vqcodec\[eval\]'"):
        usage_plots.require()


def test_no_readable_picture(tiny_codec: Codec, photos: Path) -> None:
    with pytest.raises(InputError, match="none of the 1 pictures can be read; .*broken.png is not an image"):
        analyze.analyze(tiny_codec, [photos / "broken.png"], 50)


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"model": "missing.safetensors"}, 1, "there is no model 'missing.safetensors'"),
        ({"images": "missing"}, 1, "missing does not exist"),
        ({"images": "empty"}, 1, "no pictures were found in empty"),
        ({"-o": "full"}, 1, "the folder full is not empty; use -f"),
        ({"-o": "full/file"}, 1, "is a file; name a folder"),
        ({"-o": "full/file/below"}, 1, "cannot be made a folder"),
        ({"-q": "101"}, 2, "101"),
    ],
)
def test_bad_input_is_one_sentence(
    run: Run,
    photos: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str],
    code: int,
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("full").mkdir()
    Path("full/file").touch()
    given = {"model": tiny_model, "images": photos / "b.png", "-o": "new", "-q": "50"} | change
    model, images = given.pop("model"), given.pop("images")
    result = run("analyze", model, images, *(word for pair in given.items() for word in pair))
    assert result.code == code and text in result.err and result.out == b""
    assert code == 2 or len(result.err.splitlines()) == 1
    assert not Path("new").exists()
