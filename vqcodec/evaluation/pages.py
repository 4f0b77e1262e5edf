"""Self-contained HTML pages, which Jinja2 makes of templates/*.html."""

from __future__ import annotations

import base64
import io
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vqcodec.image import Picture, resized, stripped, write_picture

# The longest side that a WebP file can have.
_MAX_WEBP_SIDE = 16383
_THUMBNAIL_SIDE = 160


def render(template: str, **values: Any) -> str:
    """Return the page of templates/<template>; values are escaped, and one that is missing raises UndefinedError.

    Templates write styles and scripts into themselves by `text_of`.
    """
    environment = Environment(
        loader=PackageLoader("vqcodec.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values, text_of=_text_of)


def _text_of(name: str) -> Markup:
    """Return the text of templates/<name>, which is no template: a style or a script."""
    text = resources.files("vqcodec.evaluation").joinpath("templates", name).read_text(encoding="utf-8")
    return Markup(text)


def data_uri(data: bytes, kind: str) -> str:
    """Return bytes of a media type as a data: address."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def picture_uri(picture: Picture) -> str:
    """Return a picture without loss as a data: address: WebP, which is a third smaller than PNG, where it fits.

    A page is shown to others, so it tells nothing of the picture's place or camera.
    """
    kind = "webp" if max(picture.pixels.shape[:2]) <= _MAX_WEBP_SIDE else "png"
    stream = io.BytesIO()
    write_picture(stripped(picture, "all"), stream, kind)
    return data_uri(stream.getvalue(), f"image/{kind}")


def thumbnail_uri(picture: Picture) -> str:
    """Return a small JPEG of a picture as a data: address, which tells as little as `picture_uri` does."""
    height, width = picture.pixels.shape[:2]
    scale = min(1.0, _THUMBNAIL_SIDE / max(height, width))
    small = resized(picture.pixels, (max(1, round(scale * height)), max(1, round(scale * width))))
    stream = io.BytesIO()
    write_picture(Picture(small, picture.icc), stream, "jpg")
    return data_uri(stream.getvalue(), "image/jpeg")
