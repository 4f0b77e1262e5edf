"""vqc compare --blind: pairs of files of one size, a page that names nobody, and bad input."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import Run, picture

from vqcodec.errors import SettingsError
from vqcodec.evaluation import codecs
from vqcodec.evaluation.compare import blind, blind_page
from vqcodec.evaluation.pillow_codec import Pixels

FORMATS = ("jpeg", "jpeg2000", "webp")


class Sized:
    """A codec whose file at quality i has sizes[i - 1] bytes and shows the quality as its color."""

    default_qualities = (1.0,)
    settings: dict[str, object] = {}  # noqa: RUF012

    def __init__(self, name: str, size: Callable[[float], int]) -> None:
        self.name = self.label = name
        self._size = size

    def encode(self, pixels: Pixels, quality: float) -> bytes:
        return bytes([round(quality)]) * self._size(quality)

    def decode(self, data: bytes) -> Pixels:
        return np.full((40, 50, 3), data[0], np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("blind")
    for seed in range(2):
        Image.fromarray(picture(40, 50, seed)).save(folder / f"{seed}.png")
    return sorted(folder.iterdir())


def test_sizes_of_a_pair_are_equal_and_near_the_wanted_one(photos: list[Path]) -> None:
    rough = Sized("rough", lambda quality: 100 * round(quality))
    fine = Sized("fine", lambda quality: 900 + round(4 * quality))
    asked, notes = blind.questions(photos, [rough, fine], 4.0)
    assert [one.name for one in asked] == ["0.png", "1.png"] and not notes
    for one in asked:
        ((a, b),) = one.pairs
        assert (a.bytes, b.bytes) == (1000, 1000) and (a.label, b.label) == ("rough", "fine")
        assert all(coding.pixels[0, 0, 0] == round(coding.quality) for coding in (a, b))


def test_pairs_that_cannot_be_of_one_size_are_left_out_with_a_word(photos: list[Path]) -> None:
    coarse = Sized("coarse", lambda quality: 40 * 2 ** (round(quality) // 10))
    large = Sized("large", lambda quality: 5000 + round(quality))
    fine = Sized("fine", lambda quality: 800 + round(4 * quality))
    asked, notes = blind.questions(photos[:1], [coarse, large, fine, Sized("other", lambda q: 850 + round(4 * q))], 4.0)
    assert [{a.label, b.label} for a, b in asked[0].pairs] == [{"fine", "other"}]
    assert any("large is left out: its smallest file has 5,001 bytes" in note for note in notes)
    assert any("coarse and fine have no files of the same size near 1,000 bytes" in note for note in notes)
    with pytest.raises(SettingsError, match="no two codecs have files of the same size at 4 bits per pixel"):
        blind.questions(photos[:1], [coarse, fine], 4.0)
    with pytest.raises(SettingsError, match="needs two codecs"):
        blind.questions(photos[:1], [fine], 4.0)


def test_the_command_asks_about_each_pair_and_names_nobody(photos: list[Path], tmp_path: Path, run: Run) -> None:
    page = tmp_path / "page.html"
    words = [word for name in FORMATS for word in ("--codec", name)]
    done = run("compare", "--blind", *photos, *words, "--model", "photo", "--bpp", 3, "-o", page)
    assert done.code == 0, done.err
    whole = page.read_text(encoding="utf-8")
    text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", whole)  # four letters may be anywhere in a picture
    counted = re.search(rb"(\d+) questions about 2 pictures at 3 bpp", done.out)
    assert counted and f'data-count="{counted[1].decode()}"' in text
    for name in FORMATS:
        label = codecs.FORMATS[name]().label
        assert label not in text
    found = re.search(r'id="key"[^>]*>([A-Za-z0-9+/=]+)<', text)
    assert found
    key = json.loads(base64.b64decode(found[1]))
    assert key["format"] == blind_page.FORMAT and len(key["key"]) == 2
    assert "http" not in text.replace("http-equiv", "")


def test_bad_input(photos: list[Path], tmp_path: Path, run: Run) -> None:
    for words, said in (
        ((*photos,), "a page shows one picture; give one, or --blind"),
        (("--blind", *photos, "--metric", "psnr"), "a blind page shows no metrics"),
        (("--blind", tmp_path / "no.png"), "does not exist; check the path"),
    ):
        done = run("compare", *words, "-o", tmp_path / "page.html")
        assert done.code != 0 and said in done.err.lower(), done.err
    assert not (tmp_path / "page.html").exists()
