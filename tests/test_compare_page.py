"""The page of vqc compare as a person meets it: looked at, dragged, zoomed and typed at in headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import chromium
import numpy as np
import numpy.typing as npt
import pytest
from chromium import Browser
from PIL import Image
from tiny import picture

from vqcodec.evaluation.compare import page as compare_page
from vqcodec.evaluation.compare import run as compare

Pixels = npt.NDArray[np.uint8]
PROGRAM = chromium.find()
WIDTH, HEIGHT, ENLARGED = 300, 200, 2
SHIFT = 8

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is on this machine; apt-get install chromium")


@pytest.fixture(scope="module")
def comparison(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> compare.Comparison:
    """A picture of 300 x 200 through three codecs."""
    path = tmp_path_factory.mktemp("page") / "photo.png"
    Image.fromarray(picture(HEIGHT, WIDTH, seed=4)).save(path)
    codecs, _ = compare.choose_codecs([str(tiny_model)], ["jpeg", "webp"])
    return compare.compare(path, codecs, 1.0, ("psnr",))


@pytest.fixture(scope="module")
def page(comparison: compare.Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The comparison's page."""
    path = tmp_path_factory.mktemp("page") / "compare.html"
    path.write_text(compare_page.render(comparison), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser."""
    assert PROGRAM is not None
    with Browser(PROGRAM, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(window: Browser, page: Path) -> Iterator[Browser]:
    """The browser with the page as it is after opening, large enough to show the picture twice enlarged."""
    window.errors.clear()
    window.requests.clear()
    window.open(page, 900, 760)
    yield window
    assert window.errors == []
    assert {address.split(":")[0] for address in window.requests} == {"file", "data"}


def split(browser: Browser) -> int:
    """Where the divider says that it is, in percent."""
    return int(browser.evaluate("document.getElementById('divider').getAttribute('aria-valuenow')"))


def zoom(browser: Browser) -> float:
    """The zoom that is written on the page."""
    text: str = browser.evaluate("document.getElementById('zoom').textContent")
    return float(text.removesuffix(" %")) / 100


def check_seen(browser: Browser, original: Pixels, coded: Pixels, percent: float) -> None:
    """Compare the screenshot pixel by pixel: the original left of the divider, the codec's picture right of it."""
    left, top, width, height = browser.box("#original img")
    assert (width, height) == (ENLARGED * WIDTH, ENLARGED * HEIGHT)
    seen = browser.screenshot()[round(top) :, round(left) :][: round(height) : ENLARGED, : round(width) : ENLARGED]
    # Below a third lie the labels; the divider's line and knob hide what is near it.
    rows, knob = slice(0, HEIGHT // 3), 24 // ENLARGED
    at = round(WIDTH * percent / 100)
    assert np.array_equal(seen[rows, : max(0, at - knob)], original[rows, : max(0, at - knob)])
    assert np.array_equal(seen[rows, at + knob :], coded[rows, at + knob :])


def test_original_is_seen_left_of_the_divider_and_the_codec_right(
    browser: Browser, comparison: compare.Comparison
) -> None:
    assert split(browser) == 50
    check_seen(browser, comparison.picture.pixels, comparison.shown[0].pixels, 50)


def test_dragging_the_divider_uncovers_the_codec(browser: Browser, comparison: compare.Comparison) -> None:
    left, _, width, _ = browser.box("#original img")
    x, y, handle_width, handle_height = browser.box("#divider")
    start = (x + handle_width / 2, y + handle_height / 2)
    browser.drag(start, (left + width * 0.2, start[1]))
    assert split(browser) == 20
    check_seen(browser, comparison.picture.pixels, comparison.shown[0].pixels, 20)
    browser.drag((left + width * 0.2, start[1]), (left + width + 500, start[1]))
    assert split(browser) == 100
    check_seen(browser, comparison.picture.pixels, comparison.shown[0].pixels, 100)


def test_codecs_are_chosen_by_button_digit_bracket_and_row(browser: Browser, comparison: compare.Comparison) -> None:
    original, shown = comparison.picture.pixels, comparison.shown
    for choose, number in (
        (lambda: browser.click('button[data-codec="1"]'), 1),
        (lambda: browser.key("3"), 2),
        (lambda: browser.key("]"), 0),
        (lambda: browser.key("["), 2),
        (lambda: browser.key("9"), 2),
        (lambda: browser.evaluate("document.querySelector('tr[data-codec=\"1\"]').click()"), 1),
    ):
        choose()
        check_seen(browser, original, shown[number].pixels, 50)
        pressed = "[...document.querySelectorAll('button[aria-pressed=true]')].map(button => button.textContent)"
        assert browser.evaluate(pressed) == [shown[number].label]
        said = browser.evaluate("document.getElementById('said').textContent")
        assert said == f"{shown[number].label}, {compare_page.facts(shown[number], comparison)}"
        assert browser.evaluate("document.getElementById('tag-coded').textContent").startswith(shown[number].label)


def test_any_codec_is_seen_on_the_left(browser: Browser, comparison: compare.Comparison) -> None:
    shown = [codec.pixels for codec in comparison.shown]
    browser.evaluate(
        "{ const s = document.getElementById('left'); s.value = '1'; s.dispatchEvent(new Event('change')) }"
    )
    check_seen(browser, shown[1], shown[0], 50)
    told = browser.evaluate("document.getElementById('tag-original').textContent")
    assert told == comparison.shown[1].label + compare_page.facts(comparison.shown[1], comparison)
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="o", text="o")
    check_seen(browser, comparison.picture.pixels, comparison.picture.pixels, 50)
    browser.call("Input.dispatchKeyEvent", type="keyUp", key="o")
    check_seen(browser, shown[1], shown[0], 50)
    browser.key("l")
    check_seen(browser, shown[2], shown[0], 50)
    browser.key("l")
    check_seen(browser, comparison.picture.pixels, shown[0], 50)


def test_the_difference_is_seen_amplified(browser: Browser, comparison: compare.Comparison) -> None:
    original, shown = comparison.picture.pixels, [codec.pixels for codec in comparison.shown]

    def difference(one: Pixels, other: Pixels) -> Pixels:
        amplified = compare_page.AMPLIFIED * np.abs(one.astype(int) - other)
        return amplified.clip(0, 255).astype(np.uint8)

    browser.click("#difference")
    check_seen(browser, original, difference(original, shown[0]), 50)
    browser.key("2")
    check_seen(browser, original, difference(original, shown[1]), 50)
    browser.key("l")
    check_seen(browser, shown[0], difference(shown[0], shown[1]), 50)
    said = browser.evaluate("document.getElementById('said').textContent")
    assert said == f"8 times the difference of {comparison.shown[0].label} and {comparison.shown[1].label}"
    browser.key("d")
    check_seen(browser, shown[0], shown[1], 50)


def test_files_that_miss_the_target_say_so(comparison: compare.Comparison) -> None:
    shown = comparison.shown[0]
    near, far = (replace(shown, bytes=int(share * comparison.limit)) for share in (0.99, 0.5))
    assert "of the target" not in compare_page.facts(near, comparison)
    assert "(50% of the target)" in compare_page.facts(far, comparison)


def test_arrows_move_the_divider(browser: Browser, comparison: compare.Comparison) -> None:
    browser.key("ArrowLeft")
    assert split(browser) == 48
    for _ in range(3):
        browser.key("ArrowRight")
    assert split(browser) == 54
    check_seen(browser, comparison.picture.pixels, comparison.shown[0].pixels, 54)
    browser.key("Home")
    assert split(browser) == 54  # only with the divider in focus
    browser.evaluate("document.getElementById('divider').focus()")
    for key, percent in (("Home", 0), ("PageUp", 10), ("End", 100), ("PageDown", 90)):
        browser.key(key)
        assert split(browser) == percent


def test_original_alone_while_o_is_held(browser: Browser, comparison: compare.Comparison) -> None:
    original = comparison.picture.pixels
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="o", text="o")
    check_seen(browser, original, original, 50)
    browser.call("Input.dispatchKeyEvent", type="keyUp", key="o")
    check_seen(browser, original, comparison.shown[0].pixels, 50)


def test_zoom_by_keys_buttons_and_wheel_and_reset(browser: Browser, comparison: compare.Comparison) -> None:
    assert zoom(browser) == ENLARGED
    browser.key("+")
    browser.key("+")
    assert zoom(browser) == 2 * ENLARGED
    browser.key("-")
    browser.click("#out")
    assert zoom(browser) == ENLARGED
    browser.click("#one")
    assert zoom(browser) == 1
    x, y, width, height = browser.box("#stage")
    place = (x + width / 3, y + height / 3)
    browser.wheel(place, -200)
    browser.wheel(place, -200)
    browser.screenshot()
    assert zoom(browser) > 2
    browser.key("ArrowLeft")
    browser.key("0")
    assert zoom(browser) == ENLARGED
    check_seen(browser, comparison.picture.pixels, comparison.shown[0].pixels, 50)


def test_wheel_keeps_what_is_under_the_pointer(browser: Browser) -> None:
    x, y, width, height = browser.box("#stage")
    place = (x + width * 0.6, y + height * 0.4)

    def under_pointer() -> tuple[float, float]:
        browser.screenshot()
        left, top, width, height = browser.box("#original img")
        return (place[0] - left) / width, (place[1] - top) / height

    for _ in range(3):
        browser.key("+")
    before, scale = under_pointer(), zoom(browser)
    browser.wheel(place, -150)
    browser.wheel(place, -150)
    assert under_pointer() == pytest.approx(before, abs=0.002)
    assert zoom(browser) > 1.8 * scale


def test_enlarged_picture_is_moved_by_dragging_and_by_shift_and_arrows(browser: Browser) -> None:
    for _ in range(4):
        browser.key("+")
    left, top, *_ = browser.box("#original img")
    x, y, width, height = browser.box("#stage")
    start = (x + width / 4, y + height / 2)
    browser.drag(start, (start[0] + 40, start[1] - 30))
    assert browser.box("#original img")[:2] == pytest.approx((left + 40, top - 30), abs=1)
    assert browser.box("#coded img:not([hidden])") == browser.box("#original img")
    assert split(browser) == 50
    browser.key("ArrowRight", SHIFT)
    browser.key("ArrowUp", SHIFT)
    assert browser.box("#original img")[:2] == pytest.approx((left - 20, top + 30), abs=1)
    browser.drag(start, (start[0] + 3000, start[1]))
    assert browser.box("#original img")[0] == pytest.approx(x, abs=0.6)


@pytest.mark.parametrize("size", [(360, 740), (390, 844), (740, 360)])
def test_phone(browser: Browser, page: Path, size: tuple[int, int]) -> None:
    browser.open(page, *size, touch=True)
    assert browser.evaluate("document.documentElement.scrollWidth") <= size[0]
    left, top, width, height = browser.box("#original img")
    middle = top + height / 2
    browser.touch([(left + width / 2, middle)], [(left + width * 0.6, middle)], [(left + width * 0.8, middle)])
    assert split(browser) == 80
    scale = zoom(browser)
    x = left + width / 2
    browser.touch(*([(x - reach, middle), (x + reach, middle)] for reach in (20, 40, 60)))
    assert zoom(browser) == pytest.approx(3 * scale, abs=0.02)
    smallest = "Math.min(...[...document.querySelectorAll('button')].map(b => b.getBoundingClientRect().height))"
    assert browser.evaluate(smallest) >= 44


@pytest.mark.parametrize("dark", [False, True])
def test_colors_follow_the_system_and_are_readable(browser: Browser, page: Path, dark: bool) -> None:
    browser.open(page, 900, 760, dark=dark)

    def luminance(expression: str) -> float:
        text = browser.evaluate(expression)
        rgb = np.array([float(value) for value in text[4:-1].split(",")]) / 255
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    ground = luminance("getComputedStyle(document.body).backgroundColor")
    assert (ground < 0.05) == dark
    for selector in ("h1", ".quiet", "td"):
        words = luminance(f"getComputedStyle(document.querySelector('{selector}')).color")
        assert (max(words, ground) + 0.05) / (min(words, ground) + 0.05) > 4.5
    pressed = "getComputedStyle(document.querySelector('[aria-pressed=true]'))"
    words, ground = luminance(f"{pressed}.color"), luminance(f"{pressed}.backgroundColor")
    assert (max(words, ground) + 0.05) / (min(words, ground) + 0.05) > 4.5


def test_screen_readers_are_told_what_is_what(browser: Browser, comparison: compare.Comparison) -> None:
    browser.call("Accessibility.enable")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    found = {(node["role"]["value"], node.get("name", {}).get("value")) for node in nodes if not node["ignored"]}
    assert ("slider", "Divider: the original or another codec on its left, the chosen codec on its right") in found
    assert ("image", "The original") in found and ("image", comparison.shown[0].label) in found
    assert {("button", shown.label) for shown in comparison.shown} <= found
    assert ("group", "Codec on the right of the divider") in found and ("button", "Zoom in") in found
    text = browser.evaluate("document.getElementById('divider').getAttribute('aria-valuetext')")
    assert text == f"50 % original, 50 % {comparison.shown[0].label}"
