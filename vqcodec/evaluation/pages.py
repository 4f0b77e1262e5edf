"""Self-contained HTML pages: templates/*.html with {{names}}, and everything else written into them."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Iterable, Mapping
from importlib import resources

from vqcodec.image import Picture, stripped, write_picture

_NAME = re.compile(r"\{\{(\w+)\}\}")
# The longest side that a WebP file can have.
_MAX_WEBP_SIDE = 16383


def template(name: str) -> str:
    """Return the text of templates/<name>."""
    return resources.files("vqcodec.evaluation").joinpath("templates", name).read_text(encoding="utf-8")


def render(name: str, values: Mapping[str, str]) -> str:
    """Return a template with each {{key}} replaced by values[key], which is HTML already; a missing key raises."""
    return _NAME.sub(lambda match: values[match[1]], template(name))


def text(value: object) -> str:
    """Return a value as HTML text that is safe in attributes too."""
    return html.escape(str(value))


def cells(tag: str, values: Iterable[object]) -> str:
    """Return <tag>value</tag> for each value."""
    return "".join(f"<{tag}>{text(value)}</{tag}>" for value in values)


def table_row(values: Iterable[object], attributes: str = "") -> str:
    """Return a table's row whose first cell is its heading."""
    first, *rest = values
    space = " " if attributes else ""
    return f'<tr{space}{attributes}><th scope="row">{text(first)}</th>{cells("td", rest)}</tr>'


def table_head(values: Iterable[object]) -> str:
    """Return the cells of a table's head."""
    return "".join(f'<th scope="col">{text(value)}</th>' for value in values)


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


def notes(sentences: Iterable[str]) -> str:
    """Return a paragraph for each sentence."""
    return "\n".join(f'<p class="quiet">{text(sentence)}</p>' for sentence in sentences)
