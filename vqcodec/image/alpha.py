"""Transparency: taken off the colors, which are then made cheap where nobody sees them, or laid over a background."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor

from vqcodec.errors import SettingsError
from vqcodec.image.picture import Picture

Pixels = npt.NDArray[np.uint8]
DEFAULT_BACKGROUND = "white"
_UNSEEN = 128
"""The value of a picture that is transparent everywhere."""


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return an image without alpha, and its alpha "L", or None where every pixel is opaque."""
    if not image.has_transparency_data:
        return image, None
    gray = image.mode in ("LA", "La")
    whole = image.convert("LA" if gray else "RGBA")
    alpha = whole.getchannel("A")
    return whole.convert("L" if gray else "RGB"), None if alpha.getextrema()[0] == 255 else alpha


def parse_color(text: str) -> tuple[int, int, int]:
    """Return red, green and blue of a color's name, or of #rgb and the like; SettingsError where it is none."""
    try:
        return ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise SettingsError(f"{text!r} is not a color; give a name such as white, or #rrggbb") from error


def flattened(picture: Picture, background: str) -> Picture:
    """Return a picture laid over a background color, without alpha; one that has none comes back as it is."""
    if picture.alpha is None:
        return picture
    color = parse_color(background)
    image, alpha = Image.fromarray(picture.pixels), Image.fromarray(picture.alpha)
    pixels = np.array(Image.composite(image, Image.new("RGB", image.size, color), alpha))
    return replace(picture, pixels=pixels, alpha=None)


def shown(original: Picture, copy: Picture, background: str = DEFAULT_BACKGROUND) -> tuple[Pixels, Pixels]:
    """Return the pixels uint8 [H, W, 3] of two pictures that are to be compared, laid over the same color.

    So colors under alpha 0, which nobody sees and which `filled` replaces, do not count.
    """
    return flattened(original, background).pixels, flattened(copy, background).pixels


def filled(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Return pixels uint8 [H, W, 3] with other colors where alpha uint8 [H, W] is 0: those of what is near, blurred.

    Nobody sees them, so they are what costs few bits: without an edge to what is seen, and with less detail the farther
    away that is.
    """
    if alpha.all():
        return pixels
    seen = Image.fromarray((alpha > 0).astype(np.uint8) * 255)
    if seen.getextrema()[1] == 0:
        return np.full_like(pixels, _UNSEEN)
    levels = [(Image.fromarray(pixels), seen)]
    while levels[-1][1].getextrema()[0] == 0:
        levels.append(_halved(*levels[-1]))
    fill = levels.pop()[0]
    for image, mask in reversed(levels):
        fill = Image.composite(image, fill.resize(image.size, Image.Resampling.BILINEAR), mask)
    return np.array(fill)


def _halved(image: Image.Image, seen: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Return the mean of what is seen in each square of two by two, and where that is anything."""
    both = image.copy()
    both.putalpha(seen)
    width, height = (image.width + 1) // 2, (image.height + 1) // 2
    # An odd side would make other squares, in which a lone pixel can vanish; what is beyond the edge is not seen.
    squares = both.crop((0, 0, 2 * width, 2 * height))
    # Pillow weighs colors by alpha when it makes a picture smaller.
    half = squares.resize((width, height), Image.Resampling.BOX)
    return half.convert("RGB"), half.getchannel("A").point(lambda alpha: 255 if alpha else 0)
