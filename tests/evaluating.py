"""What tests of the evaluation share: three small pictures, a request that takes a moment, and its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image
from tiny import picture

from vqcodec.evaluation.eval import run as evaluation
from vqcodec.evaluation.eval.run import Request


def make_pictures(folder: Path) -> Path:
    """A folder with three pictures, one of them in a folder below and below SSIM's window."""
    (folder / "below").mkdir(parents=True)
    for name, size in (("a", (70, 101)), ("b", (64, 48)), ("below/small", (9, 30))):
        Image.fromarray(picture(*size, seed=len(name))).save(folder / f"{name}.png")
    return folder


def request(pictures: Path, **changes: Any) -> Request:
    """A request that takes a moment."""
    values: dict[str, Any] = {
        "sources": [pictures],
        "output": pictures.parent / "results",
        "codecs": ["jpeg", "webp"],
        "qualities": [20, 60, 90],
        "metrics": ["psnr", "ssim"],
    }
    return Request(**values | changes)


def evaluate(wanted: Request, notes: list[str] | None = None) -> dict[str, Any]:
    """The results of a request."""
    return evaluation.run(wanted, [].append if notes is None else notes.append)
