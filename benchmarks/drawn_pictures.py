"""Drawn pictures to measure with: pages of text, screens and diagrams, the same ones each time.

They are drawn by Pillow in the fonts that it brings, in words and numbers from a fixed seed, so that they depend on
nothing but Pillow's version.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Pixels = npt.NDArray[np.uint8]
SAMPLES = Path(__file__).parent.parent / "samples"
WORDS = (
    "the of and a to in is that it was for on are as with they at be this from have or by one had not but what all "
    "were when we there can an your which their said if do will each about how up out them then she many some so "
    "these would other into has more her two like him see time could no make than first been its who now people my "
    "made over did down only way find use may water long little very after words called just where most know "
    "picture codebook latent vector quantizer entropy prior stream decoder transform channel residual probability"
).split()
SMOOTH = 4
"""Diagrams are drawn so many times as large and made smaller, which gives them smooth edges."""


def sentence(random: np.random.Generator, words: int) -> str:
    return " ".join(random.choice(WORDS, words)).capitalize() + "."


def column(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], size: int, ink: str, seed: int) -> None:
    """Paragraphs of broken lines in a box of left, upper, right and lower."""
    random, font = np.random.default_rng(seed), ImageFont.load_default(size)
    left, y, right, lower = box
    while y < lower - size:
        line = ""
        for word in sentence(random, int(random.integers(30, 90))).split():
            if draw.textlength(f"{line} {word}", font) > right - left:
                draw.text((left, y), line, ink, font)
                line, y = "", y + round(1.35 * size)
                if y > lower - size:
                    return
            line = f"{line} {word}".strip()
        draw.text((left, y), line, ink, font)
        y += 2 * size


def page() -> Image.Image:
    """A page of a letter at 100 dots per inch, in one column."""
    image = Image.new("RGB", (827, 1170), "white")
    draw = ImageDraw.Draw(image)
    draw.text((90, 80), "On pages of text", "black", ImageFont.load_default(30))
    column(draw, (90, 140, 740, 1090), 16, "black", 1)
    return image


def journal() -> Image.Image:
    """A page of a journal at 150 dots per inch, in two columns on cream paper."""
    image = Image.new("RGB", (1240, 1754), "#fffdf5")
    draw = ImageDraw.Draw(image)
    draw.text((100, 90), "Codebooks of many units", "#202020", ImageFont.load_default(44))
    draw.line((100, 160, 1140, 160), "#808080", 2)
    for number, left in enumerate((100, 640)):
        column(draw, (left, 190, left + 500, 1660), 20, "#202020", 2 + number)
    return image


def terminal() -> Image.Image:
    """A terminal: a font of pixels without smooth edges, in seven colors on black."""
    random, font = np.random.default_rng(4), ImageFont.load_default_imagefont()
    image = Image.new("RGB", (960, 600), "#101010")
    draw = ImageDraw.Draw(image)
    for y in range(6, 590, 13):
        x = 8 + 24 * int(random.integers(0, 4))
        for word in random.choice(WORDS, int(random.integers(4, 18))):
            color = str(random.choice(["#d0d0d0", "#d0d0d0", "#d0d0d0", "#5fafff", "#87d75f", "#ffaf5f", "#d75f87"]))
            draw.text((x, y), word, color, font)
            x += 6 * (len(word) + 1)
    return image


def editor() -> Image.Image:
    """A program in an editor: smooth letters in colors on dark gray, with line numbers."""
    random, font = np.random.default_rng(5), ImageFont.load_default(14)
    image = Image.new("RGB", (1280, 800), "#1e1e1e")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 1279, 33), "#323233")
    draw.rectangle((0, 34, 54, 799), "#252526")
    draw.rectangle((1150, 34, 1279, 799), "#222222")
    for number, y in enumerate(range(44, 780, 18), 1):
        draw.text((30, y), str(number), "#858585", font)
        x = 70 + 28 * int(random.integers(0, 5))
        for word in random.choice(WORDS, int(random.integers(0, 12))):
            color = str(random.choice(["#d4d4d4", "#9cdcfe", "#569cd6", "#ce9178", "#dcdcaa", "#6a9955"]))
            draw.text((x, y), word, color, font)
            draw.line((1155 + (x - 70) // 9, y, 1155 + (x - 70) // 9 + len(word), y), color)
            x += round(draw.textlength(word + " ", font))
    return image


def sheet() -> Image.Image:
    """A table of numbers with a grid of lines, some cells in colors."""
    random, font = np.random.default_rng(6), ImageFont.load_default(13)
    image = Image.new("RGB", (1200, 760), "white")
    draw = ImageDraw.Draw(image)
    for row, y in enumerate(range(0, 760, 20)):
        for place, x in enumerate(range(0, 1200, 80)):
            head = not row or not place
            paper = "#e8eaed" if head else str(random.choice(["white"] * 12 + ["#fce8b2", "#b7e1cd"]))
            draw.rectangle((x, y, x + 80, y + 20), paper, "#c0c0c0")
            text = f"{random.normal(0, 1000):,.2f}" if not head else str(row or place)
            draw.text((x + 75, y + 10), text, "black", font, "rm")
    return image


def fade(size: tuple[int, int], first: str, second: str) -> Image.Image:
    """One color that becomes another from top to bottom."""
    ramp = Image.linear_gradient("L").resize(size, Image.Resampling.BILINEAR)
    return Image.composite(Image.new("RGB", size, second), Image.new("RGB", size, first), ramp)


def desktop() -> Image.Image:
    """Windows on a desktop: a soft background, bars that fade, round buttons, icons and text."""
    random, font = np.random.default_rng(7), ImageFont.load_default(13)
    image = fade((1440, 900), "#3b6ea5", "#16324f")
    draw = ImageDraw.Draw(image)
    for left, top, right, lower in ((90, 60, 800, 600), (560, 220, 1340, 820)):
        draw.rounded_rectangle((left, top, right, lower), 8, "#f4f4f4", "#505050")
        image.paste(fade((right - left - 2, 32), "#e4e4e4", "#c4c4c4"), (left + 1, top + 8))
        draw.text(((left + right) // 2, top + 24), sentence(random, 3), "#303030", font, "mm")
        for number, color in enumerate(("#ff5f57", "#febc2e", "#28c840")):
            draw.ellipse((left + 12 + 22 * number, top + 17, left + 25 + 22 * number, top + 30), color, "#808080")
        draw.rectangle((left + 1, top + 41, left + 170, lower - 8), "#e0e4ea")
        for y in range(top + 54, lower - 30, 26):
            color = tuple(int(value) for value in random.integers(40, 230, 3))
            image.paste(fade((16, 16), "#ffffff", "#{:02x}{:02x}{:02x}".format(*color)), (left + 12, y))
            draw.text((left + 36, y + 1), str(random.choice(WORDS)), "#202020", font)
        column(draw, (left + 186, top + 54, right - 16, lower - 60), 13, "#202020", left)
        draw.rounded_rectangle((right - 110, lower - 40, right - 16, lower - 12), 6, "#0a64d8")
        draw.text((right - 63, lower - 26), "Apply", "white", font, "mm")
    return image


def article() -> Image.Image:
    """A page of the web with a photograph in it."""
    image = Image.new("RGB", (1200, 1000), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 1199, 55), "#24292f")
    draw.text((30, 16), "News of the day", "white", ImageFont.load_default(22))
    paste_photo(image, "coffee.png", (60, 40, 560, 360), (640, 90))
    column(draw, (40, 90, 610, 980), 17, "#24292f", 8)
    column(draw, (640, 430, 1150, 980), 17, "#24292f", 9)
    return image


def magazine() -> Image.Image:
    """A page of a magazine on gray paper with two photographs, at no multiple of anything."""
    image = Image.new("RGB", (1100, 1400), "#fbfaf7")
    draw = ImageDraw.Draw(image)
    draw.text((60, 40), "Two views of one day", "#1a1a1a", ImageFont.load_default(40))
    paste_photo(image, "astronaut.png", (0, 40, 471, 354), (60, 120))
    paste_photo(image, "chelsea.png", (0, 0, 451, 300), (570, 120))
    column(draw, (60, 470, 530, 1360), 18, "#202020", 12)
    column(draw, (570, 450, 1040, 1360), 18, "#202020", 13)
    return image


def paste_photo(image: Image.Image, name: str, box: tuple[int, int, int, int], at: tuple[int, int]) -> None:
    """Put a box of a sample into a picture."""
    with Image.open(SAMPLES / name) as photo:
        image.paste(photo.convert("RGB").crop(box), at)


def diagram() -> Image.Image:
    """Boxes, arrows and labels with smooth edges."""
    random = np.random.default_rng(10)
    image = Image.new("RGB", (SMOOTH * 1000, SMOOTH * 620), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(SMOOTH * 16)
    centers = [(160 + 220 * x, 110 + 190 * y) for y in range(3) for x in range(4)]
    for start, end in zip(centers, random.permutation(centers).tolist(), strict=True):
        draw.line([SMOOTH * value for value in (*start, *end)], "#607080", SMOOTH * 2)
    for (x, y), paper in zip(centers, ["#cfe8ff", "#ffe3c9", "#d8f5d0", "#f3d7f7"] * 3, strict=True):
        box = [SMOOTH * value for value in (x - 75, y - 36, x + 75, y + 36)]
        draw.rounded_rectangle(box, SMOOTH * 12, paper, "#304050", SMOOTH * 2)
        draw.text((SMOOTH * x, SMOOTH * y), str(random.choice(WORDS)), "#102030", font, "mm")
    return image.resize((1000, 620), Image.Resampling.BOX)


def chart() -> Image.Image:
    """Curves over a grid, with an area that fades below one of them."""
    random = np.random.default_rng(11)
    image = Image.new("RGB", (SMOOTH * 900, SMOOTH * 560), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(SMOOTH * 13)
    for number in range(9):
        x, y = SMOOTH * (70 + 98 * number), SMOOTH * (40 + 56 * number)
        draw.line((x, SMOOTH * 40, x, SMOOTH * 488), "#dddddd", SMOOTH)
        draw.line((SMOOTH * 70, y, SMOOTH * 854, y), "#dddddd", SMOOTH)
        draw.text((x, SMOOTH * 505), f"{number / 4:.2f}", "#404040", font, "mm")
        draw.text((SMOOTH * 60, y), f"{48 - 2 * number}", "#404040", font, "rm")
    for color in ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728"):
        heights = 440 - np.cumsum(random.uniform(0, 24, 29))
        points = [(SMOOTH * (70 + 28 * place), SMOOTH * float(y)) for place, y in enumerate(heights)]
        draw.line(points, color, SMOOTH * 3, "curve")
    return image.resize((900, 560), Image.Resampling.BOX)


PICTURES: dict[str, Callable[[], Image.Image]] = {
    drawn.__name__: drawn
    for drawn in (page, journal, terminal, editor, sheet, desktop, article, magazine, diagram, chart)
}
"""What is drawn, by name: two pages of text, four screens, two pages with photographs, and two diagrams."""


def pixels_of(name: str) -> Pixels:
    """The pixels uint8 [H, W, 3] of a drawn picture."""
    return np.array(PICTURES[name]())
