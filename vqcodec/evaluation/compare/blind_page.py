"""The page of a blind comparison: one question after the other, and the answers as a JSON file."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from vqcodec.evaluation import pages
from vqcodec.evaluation.compare.blind import Coding, Questions, apart
from vqcodec.image import Picture

FORMAT = "vqc choices 1"
"""What a file of answers says that it is."""


def render(asked: list[Questions], bpp: float) -> str:
    """Return the page.

    The names of codecs are in it, for the answers, but not as text that somebody who looks at its source reads.
    """
    pictures, key = [], []
    for questions in asked:
        codings = _codings(questions)
        pictures.append(
            {
                "name": questions.name,
                "original": pages.picture_uri(questions.picture),
                # The codecs are given pixels alone; with the original's profile they are seen in its colors.
                "codings": [pages.picture_uri(Picture(one.pixels, questions.picture.icc)) for one in codings],
                "pairs": [[codings.index(one) for one in pair] for pair in questions.pairs],
            }
        )
        key.append([{"codec": one.label, "quality": one.quality, "bytes": one.bytes} for one in codings])
    text = json.dumps({"format": FORMAT, "bpp": bpp, "key": key})
    name = hashlib.sha256(json.dumps(pictures).encode()).hexdigest()[:16]
    count = sum(len(questions.pairs) for questions in asked)
    return pages.render(
        "blind.html", pictures=pictures, count=count, page=name, key=base64.b64encode(text.encode()).decode()
    )


def _codings(questions: Questions) -> list[Coding]:
    """Return all codings of a picture, each once, in an order that says nothing of whose they are."""
    unique: dict[tuple[str, float], Coding] = {
        (one.label, one.quality): one for pair in questions.pairs for one in pair
    }
    return sorted(unique.values(), key=lambda one: hashlib.sha256(one.pixels.tobytes()).digest())


def facts(asked: list[Questions]) -> dict[str, Any]:
    """Return how many questions and pictures there are, and by what share sizes of a pair differ at most."""
    pairs = [pair for questions in asked for pair in questions.pairs]
    most = max(apart(a.bytes, b.bytes) for a, b in pairs)
    return {"questions": len(pairs), "pictures": len(asked), "apart": most}
