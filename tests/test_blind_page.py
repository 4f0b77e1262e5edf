"""The page of vqc compare --blind as a person meets it in headless Chromium: shown, answered, taken back, saved."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import numpy as np
import pytest
from chromium import Browser
from tiny import picture

from vqcodec.evaluation.compare import blind_page
from vqcodec.evaluation.compare.blind import Coding, Questions
from vqcodec.image import Picture

PROGRAM = chromium.find()
HEIGHT, WIDTH = 80, 120
LABELS = ("alpha", "beta", "gamma")

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is on this machine; apt-get install chromium")


@pytest.fixture(scope="module")
def asked() -> list[Questions]:
    """Two pictures; three codecs in one, two in the other."""
    found = []
    for number, count in ((0, 3), (1, 2)):
        pixels = picture(HEIGHT, WIDTH, seed=number)
        codings = [Coding(LABELS[i], 10.0 + i, 1000 + i, pixels // (i + 2)) for i in range(count)]
        pairs = [(a, b) for i, a in enumerate(codings) for b in codings[i + 1 :]]
        found.append(Questions(f"{number}.png", Picture(pixels), pairs))
    return found


@pytest.fixture
def browser(asked: list[Questions], tmp_path: Path) -> Iterator[Browser]:
    """A browser with a profile of its own, which has the page open."""
    page = tmp_path / "blind.html"
    page.write_text(blind_page.render(asked, 0.5), encoding="utf-8")
    assert PROGRAM is not None
    with Browser(PROGRAM, tmp_path / "profile") as window:
        window.open(page, 900, 760)
        yield window
        assert window.errors == []
        assert {address.split(":")[0] for address in window.requests} <= {"file", "data", "blob"}


def saved(browser: Browser) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(browser.evaluate("JSON.stringify(vqcChoices())"))
    return found


def place(browser: Browser) -> str:
    return str(browser.evaluate("document.getElementById('place').textContent"))


def seen(browser: Browser) -> Any:
    browser.evaluate("document.getElementById('seen').decode()")
    left, top, width, height = browser.box("#seen")
    assert (width, height) == (WIDTH, HEIGHT)
    return browser.screenshot()[round(top) :, round(left) :][:HEIGHT, :WIDTH]


def test_what_is_chosen_is_what_was_seen(browser: Browser, asked: list[Questions]) -> None:
    for number, key in enumerate(("1", "2", "0", "1")):
        assert place(browser) == f"Question {number + 1} of 4"
        looks = {}
        for letter in "aob":
            browser.key(letter)
            looks[letter] = seen(browser)
        browser.key(key)
        choice = saved(browser)["choices"][-1]
        questions = asked[int(choice["picture"][0])]
        pixels = {one.label: one.pixels for pair in questions.pairs for one in pair}
        assert np.array_equal(looks["o"], questions.picture.pixels)
        assert np.array_equal(looks["a"], pixels[choice["first"]["codec"]])
        assert np.array_equal(looks["b"], pixels[choice["second"]["codec"]])
        assert choice["chosen"] == {"1": "first", "2": "second", "0": None}[key]
    assert place(browser) == "All 4 questions are answered. Save the answers."
    found = saved(browser)
    pairs = {(one["picture"], *sorted((one["first"]["codec"], one["second"]["codec"]))) for one in found["choices"]}
    assert found["format"] == blind_page.FORMAT and len(pairs) == 4 and found["choices"][0]["first"]["bytes"] >= 1000


def test_answers_are_taken_back_and_outlive_the_page(browser: Browser) -> None:
    for selector in ('[data-answer="0"]', '[data-answer="none"]', '[data-answer="1"]', "#back"):
        browser.click(selector)
    before = saved(browser)
    assert [one["chosen"] for one in before["choices"]] == ["first", None]
    address = Path(browser.evaluate("location.pathname"))
    # What a page stores a browser writes a moment later, and on a busy machine the next page is there before.
    for _ in range(50):
        browser.open(address, 900, 760)
        if place(browser) != "Question 1 of 4":
            break
        time.sleep(0.1)
    assert place(browser) == "Question 3 of 4" and saved(browser) == before
    browser.click("#anew")
    after = saved(browser)
    assert place(browser) == "Question 1 of 4" and after["choices"] == [] and after["person"] != before["person"]


def test_nobody_is_named(browser: Browser) -> None:
    text = browser.evaluate("document.documentElement.outerHTML")
    assert not any(label in text for label in LABELS)
