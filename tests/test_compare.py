"""vqc compare: the search for equal sizes, the choice of codecs, the page's contents, and bad input."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny import Run, picture

from vqcodec.errors import SettingsError
from vqcodec.evaluation import codecs
from vqcodec.evaluation.compare import page as compare_page
from vqcodec.evaluation.compare import run as compare
from vqcodec.image import read_picture

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PNG file of 240 x 160."""
    path = tmp_path_factory.mktemp("compare") / "a <photo> & more.png"
    Image.fromarray(picture(160, 240, seed=4)).save(path)
    return path


@pytest.fixture(scope="module")
def comparison(photograph: Path, tiny_model: Path) -> compare.Comparison:
    """The photograph through the tiny model and two formats."""
    chosen, _ = compare.choose_codecs([str(tiny_model)], ["jpeg", "jpeg2000"])
    return compare.compare(photograph, chosen, 1.0, ("psnr", "psnr-y"))


def files_of(sizes: Sequence[int]) -> Callable[[float], bytes]:
    """An encoder whose file at quality i has sizes[i] bytes."""
    return lambda quality: bytes(sizes[int(quality)])


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(0, 70))
def test_search_finds_the_largest_file_not_above_the_limit(steps: list[int], limit: int) -> None:
    sizes = sorted(steps)
    fitting = [size for size in sizes if size <= limit]
    qualities = [float(i) for i in range(len(sizes))]
    if not fitting:
        with pytest.raises(compare.TooSmall) as error:
            compare.largest_within(files_of(sizes), qualities, limit)
        assert error.value.smallest == sizes[0]
    else:
        quality, data = compare.largest_within(files_of(sizes), qualities, limit)
        assert len(data) == fitting[-1]
        assert quality == len(fitting) - 1


def test_search_keeps_the_best_it_saw_where_sizes_step_back() -> None:
    sizes = [10, 20, 30, 28, 29, 50, 60]
    _, data = compare.largest_within(files_of(sizes), [float(i) for i in range(len(sizes))], 35)
    assert len(data) in (29, 30)


def test_qualities_that_codecs_take(tiny_model: Path) -> None:
    assert len(compare.qualities_of(codecs.open_codec(str(tiny_model)))) == 199
    assert compare.qualities_of(codecs.open_codec("jpeg")) == [float(q) for q in range(1, 101)]
    assert compare.qualities_of(codecs.open_codec("jpeg2000"))[:3] == [1.0, 1.5, 2.0]


def test_no_file_is_above_the_target_and_the_next_quality_is(
    comparison: compare.Comparison, photograph: Path, tiny_model: Path
) -> None:
    assert comparison.limit == 240 * 160 // 8
    pixels = read_picture(photograph).pixels
    for shown, name in zip(comparison.shown, (str(tiny_model), "jpeg", "jpeg2000"), strict=True):
        codec = codecs.open_codec(name)
        qualities = compare.qualities_of(codec)
        assert shown.bytes == len(codec.encode(pixels, shown.quality)) <= comparison.limit
        if codec.name != "tiny":  # whose files are all below the target
            above = qualities[qualities.index(shown.quality) + 1]
            assert len(codec.encode(pixels, above)) > comparison.limit
        assert np.array_equal(codec.decode(codec.encode(pixels, shown.quality)), shown.pixels)


def test_ours_comes_first_unless_another_model_is_named(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def note(names: list[str]) -> dict[str, codecs.EvalCodec]:
        asked.extend(names)
        return {}

    monkeypatch.setattr(compare, "open_codecs", note)
    monkeypatch.setattr(compare, "MODEL_FOR_LOOKS", "ours")
    for models, formats, expected in (
        ((), ("avif",), ["ours", "avif"]),
        (("a", "b"), ("avif",), ["a", "b", "avif"]),
        ((), ("avif", "my.safetensors"), ["avif", "my.safetensors"]),
    ):
        asked.clear()
        assert compare.choose_codecs(models, formats) == ([], [])
        assert asked == expected


def test_missing_default_format_is_left_out_and_a_missing_named_one_is_an_error(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: codecs.Avif) -> None:
        raise SettingsError("avif: not here")

    monkeypatch.setattr(codecs.Avif, "__init__", fail)
    chosen, notes = compare.choose_codecs([str(tiny_model)], [])
    assert "left out: avif: not here" in notes
    assert [codec.name for codec in chosen][:3] == ["tiny", "jpeg", "webp"]
    with pytest.raises(SettingsError, match="avif: not here"):
        compare.choose_codecs([str(tiny_model)], ["avif"])


def test_page_holds_the_pictures_exactly_and_asks_for_nothing(comparison: compare.Comparison, photograph: Path) -> None:
    page = compare_page.render(comparison)
    sources = re.findall(r'<img [^>]*src="data:image/webp;base64,([^"]+)"', page)
    expected = [read_picture(photograph).pixels, *(shown.pixels for shown in comparison.shown)]
    for source, pixels in zip(sources, expected, strict=True):
        assert np.array_equal(read_picture(base64.b64decode(source)).pixels, pixels)
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|//|@import|url\(", re.sub(r"base64,[^\"]+|^\s*//.*$", "", page, flags=re.M))
    assert "{{" not in page
    assert "a &lt;photo&gt; &amp; more.png" in page and "<photo>" not in page


def test_page_states_sizes_and_metrics(comparison: compare.Comparison, photograph: Path) -> None:
    page = compare_page.render(comparison)
    assert f"{photograph.stat().st_size:,}" in page and "240 × 160 pixels" in page and "4,800 bytes" in page
    for shown in comparison.shown:
        assert f"<td>{shown.bytes:,}</td><td>{8 * shown.bytes / 38400:.3f}</td>" in page
        assert f"<td>{shown.metrics['psnr']:.2f}</td>" in page
        assert f"{shown.bytes / 4800:.1%}" in page


def test_wide_pictures_are_held_as_png_and_small_ones_have_no_large_windows(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.fromarray(picture(8, 16390, seed=1)).save(path)
    result = compare.compare(path, [codecs.open_codec("jpeg")], 4, ("psnr", "ms-ssim"))
    page = compare_page.render(result)
    assert page.count("data:image/png;base64,") == 2 and "<td>too small</td>" in page


def test_command_writes_the_page(run: Run, photo: Path, tiny_model: Path) -> None:
    options = ("--model", tiny_model, "--codec", "jpeg", "--bpp", 2, "--metric", "psnr")
    result = run("compare", photo, *options)
    page = photo.with_name("photo.compare.html")
    assert result.code == 0 and page.read_text().startswith("<!doctype html>")
    assert "vqc tiny: quality " in result.out.decode() and "JPEG 4:2:0: quality " in result.out.decode()
    again = run("compare", photo, *options)
    assert again.code == 1 and again.err == f"vqc: {page} exists; use -f to overwrite it\n"
    assert run("compare", photo, *options, "-f").code == 0


def test_unreachable_target_names_the_smallest_reachable(run: Run, photo: Path, tiny_model: Path) -> None:
    page = photo.with_suffix(".html")
    options = ("--model", tiny_model, "--codec", "jpeg", "--metric", "psnr", "-o", page)
    result = run("compare", photo, *options, "--bpp", 0.001)
    found = re.search(r"reaches 0.001 bits per pixel with photo.png; the smallest reachable is (\S+)$", result.err)
    assert found and result.code == 1 and not page.exists()
    result = run("compare", photo, *options, "--bpp", found[1])
    assert result.code == 0
    assert re.search(r"JPEG 4:2:0 is left out: its smallest file has \S+ bpp", result.err)


def test_codec_that_cannot_hold_the_picture_is_left_out(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.fromarray(picture(8, 16390, seed=1)).save(path)
    with pytest.raises(SettingsError, match="no codec can encode wide.png: WebP is left out: webp cannot encode"):
        compare.compare(path, [codecs.open_codec("webp")], 4, ("psnr",))


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"picture": "missing.png"}, 1, "missing.png does not exist"),
        ({"--codec": "bmp"}, 1, "there is no codec 'bmp'"),
        ({"--model": "missing.safetensors"}, 1, "missing.safetensors"),
        ({"--metric": "beauty"}, 1, "there is no metric 'beauty'"),
        ({"--bpp": "0"}, 2, "0 is not in the range"),
        ({"-o": "no/such/folder/page.html"}, 1, "does not exist; create it first"),
    ],
)
def test_bad_input_is_one_sentence(
    run: Run, photo: Path, tiny_model: Path, change: dict[str, str], code: int, text: str
) -> None:
    values = {"picture": photo, "--model": tiny_model, "--codec": "jpeg", "--metric": "psnr", "--bpp": "2"} | change
    result = run("compare", values.pop("picture"), *(word for pair in values.items() for word in pair))
    assert result.code == code and text in result.err
    assert code == 2 or len(result.err.splitlines()) == 1
    assert not photo.with_suffix(".compare.html").exists()
