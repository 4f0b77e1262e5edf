"""Drawn content for training: what photographs have too little of, and people compress all the same.

Lettering, screens, rows of windows, gratings, neon and flat colors, made at random by Pillow. A codec
that has seen none of them spends ten times the bytes of others on a page of text.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Random = np.random.Generator
Pixels = npt.NDArray[np.uint8]
Color = tuple[int, int, int]
_SMALLEST_FONT, _LARGEST_FONT = 8, 64
_SUPERSAMPLING = 3


def draw_over(random: Random, photo: Pixels) -> Pixels:
    """Return uint8 [H, W, 3]: something drawn in the place of a photograph of this size, beside it, or over it."""
    height, width = photo.shape[:2]
    place = random.choice(["instead", "instead", "beside", "over", "over"])
    if place == "over":
        return _over(random, photo)
    drawn = _pick(random)(random, width, height)
    if place == "beside":
        cut = int(random.integers(1, width))
        drawn[:, cut:] = photo[:, cut:]
        if random.random() < 0.5 and height == width:
            drawn = np.rot90(drawn)
    return np.ascontiguousarray(drawn)


def _pick(random: Random) -> Callable[[Random, int, int], Pixels]:
    kinds = (_flat, _page, _page, _screen, _screen, _facade, _facade, _grating, _shapes)
    return kinds[int(random.integers(len(kinds)))]


def _flat(random: Random, width: int, height: int) -> Pixels:
    """One color, or two that meet, or one that fades into another."""
    first, second = (np.array(_color(random), np.float64) for _ in range(2))
    kind = random.random()
    if kind < 0.5:
        return np.broadcast_to(first.astype(np.uint8), (height, width, 3)).copy()
    y, x = np.mgrid[:height, :width] / max(height, width)
    angle = random.uniform(0, 2 * np.pi)
    ramp = np.cos(angle) * x + np.sin(angle) * y - random.uniform(-0.7, 0.7)
    share = (ramp > 0).astype(np.float64) if kind < 0.75 else (ramp + 0.5).clip(0, 1)
    mixed: Pixels = np.round(first + share[..., None] * (second - first)).astype(np.uint8)
    return mixed


def _page(random: Random, width: int, height: int) -> Pixels:
    """Lines of words on a plain ground, in one size or two."""
    ground, ink = _ground_and_ink(random)
    image = Image.new("RGB", (width, height), ground)
    _write_lines(random, ImageDraw.Draw(image), (0, 0, width, height), ink)
    return np.array(image)


def _screen(random: Random, width: int, height: int) -> Pixels:
    """Panels, frames, buttons and words as on a screen: edges of one pixel, few colors."""
    image = Image.new("RGB", (width, height), _ground_and_ink(random)[0])
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(2, 9))):
        left, top = (int(random.integers(-40, side)) for side in (width, height))
        right, bottom = left + int(random.integers(20, 200)), top + int(random.integers(12, 160))
        ground, ink = _ground_and_ink(random)
        radius = int(random.choice([0, 0, 0, 3, 8]))
        draw.rounded_rectangle((left, top, right, bottom), radius, ground, _color(random), int(random.integers(0, 3)))
        if random.random() < 0.7:
            _write_lines(random, draw, (left + 4, top + 2, right, bottom), ink)
    return np.array(image)


def _facade(random: Random, width: int, height: int) -> Pixels:
    """Rows of windows: rectangles in rectangles, repeated and seen at an angle."""
    size = 2 * max(width, height)
    wall, frame, pane = (_muted(random) for _ in range(3))
    image = Image.new("RGB", (size, size), wall)
    draw = ImageDraw.Draw(image)
    step_x, step_y = (int(v) for v in random.integers(8, 64, 2))
    share_x, share_y = random.uniform(0.3, 0.9, 2)
    border = int(random.integers(0, 3))
    shades = int(random.integers(1, 40))
    for y in range(0, size, step_y):
        for x in range(0, size, step_x):
            box = (x, y, x + share_x * step_x, y + share_y * step_y)
            draw.rectangle(box, _shaded(random, pane, shades), frame if border else None, border)
    corners = random.uniform(0, 0.3 * size, 8) * random.choice([0, 1])
    left, top = corners[0], corners[1]
    quad = (left, top, corners[2], size - corners[3], size - corners[4], size - corners[5], size - corners[6], top)
    image = image.transform((width, height), Image.Transform.QUAD, quad, Image.Resampling.BICUBIC)
    return np.array(image)


def _grating(random: Random, width: int, height: int) -> Pixels:
    """Stripes of any direction, soft or hard, as in cloth, blinds and fences."""
    y, x = np.mgrid[:height, :width]
    angle = random.choice([0.0, np.pi / 2, random.uniform(0, np.pi)])
    period = random.uniform(2.5, 40)
    wave = np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period + random.uniform(0, 6))
    if random.random() < 0.6:
        wave = (wave * random.uniform(1, 8)).clip(-1, 1)
    first, second = (np.array(_color(random), np.float64) for _ in range(2))
    mixed: Pixels = np.round(first + (wave[..., None] + 1) / 2 * (second - first)).astype(np.uint8)
    return mixed


def _shapes(random: Random, width: int, height: int) -> Pixels:
    """Lines, discs and polygons with smooth edges."""
    scale = int(random.choice([1, _SUPERSAMPLING]))
    image = Image.new("RGB", (scale * width, scale * height), _color(random))
    _draw_shapes(random, ImageDraw.Draw(image), image.size, int(random.integers(3, 25)))
    return np.array(image.resize((width, height), Image.Resampling.BOX))


def _over(random: Random, photo: Pixels) -> Pixels:
    """A photograph with lettering, with shapes, or with glowing signs on it."""
    image = Image.fromarray(photo)
    layer = Image.new("RGBA", image.size)
    draw, kind = ImageDraw.Draw(layer), random.random()
    if kind < 0.4:
        for _ in range(int(random.integers(1, 4))):
            _write_word(random, draw, image.size, _color(random))
    elif kind < 0.7:
        _draw_shapes(random, draw, image.size, int(random.integers(1, 6)))
    else:
        dark = random.uniform(0.1, 0.8)
        image = image.point([int(dark * value) for value in range(256)] * 3)
        _write_word(random, draw, image.size, _saturated(random))
        glow = layer.filter(ImageFilter.GaussianBlur(random.uniform(2, 8)))
        image.paste(glow, (0, 0), glow)
    image.paste(layer, (0, 0), layer)
    return np.array(image)


def _draw_shapes(random: Random, draw: ImageDraw.ImageDraw, size: tuple[int, int], count: int) -> None:
    for _ in range(count):
        points = [tuple(random.uniform(-0.2, 1.2, 2) * size) for _ in range(int(random.integers(2, 5)))]
        if len(points) > 2 and random.random() < 0.5:
            draw.polygon(points, _color(random))
        elif random.random() < 0.3:
            (x, y), r = points[0], random.uniform(2, 0.3 * size[0])
            draw.ellipse((x - r, y - r, x + r, y + r), _color(random))
        else:
            draw.line(points, _color(random), int(random.integers(1, 7)))


def _write_lines(random: Random, draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], ink: Color) -> None:
    left, top, right, bottom = box
    font = _font(int(_SMALLEST_FONT * (3.0 ** random.random())))
    pitch = int(font.size * random.uniform(1.1, 1.8)) + 1
    for y in range(int(top), int(bottom - font.size), pitch):
        if random.random() < 0.9:
            text = " ".join(_word(random) for _ in range(max(1, int((right - left) / (4 * font.size)))))
            draw.text((left + random.choice([0, 0, 8]), y), text, ink, font)


def _write_word(random: Random, draw: ImageDraw.ImageDraw, size: tuple[int, int], ink: Color) -> None:
    font = _font(int(12 * (_LARGEST_FONT / 12) ** random.random()))
    place = (random.uniform(-0.1, 0.7) * size[0], random.uniform(0, 0.9) * size[1])
    outline = int(random.choice([0, 0, 1, 3]))
    draw.text(
        place, " ".join(_word(random) for _ in range(2)), ink, font, stroke_width=outline, stroke_fill=_color(random)
    )


def _word(random: Random) -> str:
    letters = random.choice(list(string.ascii_lowercase + "eeeaaattnnooiirrss"), int(random.integers(1, 11)))
    word = "".join(letters)
    kind = random.random()
    if kind < 0.1:
        return str(random.integers(10**4))
    return word.upper() if kind < 0.2 else word.capitalize() if kind < 0.4 else word


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _ground_and_ink(random: Random) -> tuple[Color, Color]:
    """Two colors that can be told apart; dark on white as often as anything else."""
    kind = random.random()
    if kind < 0.5:
        shade, ink = int(random.choice([255, 255, 255, 248, 240, 192])), int(random.choice([0, 0, 0, 32, 64]))
        return (shade, shade, shade), (ink, ink, ink)
    first, second = _color(random), _color(random)
    far = tuple(255 - c if abs(c - d) < 64 else d for c, d in zip(first, second, strict=True))
    return first, far  # type: ignore[return-value]


def _color(random: Random) -> Color:
    """Any color; black, white and the corners of the cube more often than others."""
    kind = random.random()
    if kind < 0.25:
        gray = int(random.choice([0, 255, 255, int(random.integers(256))]))
        return gray, gray, gray
    if kind < 0.4:
        return _saturated(random)
    r, g, b = random.integers(0, 256, 3)
    return int(r), int(g), int(b)


def _saturated(random: Random) -> Color:
    r, g, b = random.choice([0, 255, 255, int(random.integers(256))], 3)
    return int(r), int(g), int(b)


def _muted(random: Random) -> Color:
    gray = random.uniform(0, 255)
    r, g, b = np.clip(gray + random.uniform(-30, 30, 3), 0, 255)
    return int(r), int(g), int(b)


def _shaded(random: Random, color: Color, range_: int) -> Color:
    r, g, b = np.clip(np.array(color) + random.integers(-range_, range_ + 1), 0, 255)
    return int(r), int(g), int(b)
