"""Pairs of analysis and synthesis, one file for each."""

from __future__ import annotations

from typing import Any

from vqcodec.errors import ModelError
from vqcodec.networks.photo import PhotoNetwork

__all__ = ["PhotoNetwork", "build"]


def build(settings: dict[str, Any]) -> PhotoNetwork:
    """Return the network that a model's settings {"name": ..., ...} describe."""
    if settings.get("name") != "photo":
        raise ModelError(f"network {settings.get('name')!r} is unknown to this vqc; update vqc")
    return PhotoNetwork(d=int(settings["d"]), widths=tuple(settings["widths"]))
