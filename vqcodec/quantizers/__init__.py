"""Quantizers behind one contract (base.py), one file per idea."""

from __future__ import annotations

from vqcodec.errors import SettingsError
from vqcodec.quantizers.base import Quantized, Quantizer, QuantizerSettings
from vqcodec.quantizers.looc import LooC

__all__ = ["NAMES", "LooC", "Quantized", "Quantizer", "QuantizerSettings", "build"]

NAMES = ("looc", "vq")


def build(settings: QuantizerSettings) -> Quantizer:
    """Return the quantizer that `settings.name` stands for; `vq` is LooC with m = 1 and beta = 1."""
    if settings.name not in NAMES:
        raise SettingsError(f"quantizer {settings.name!r} is unknown; choose one of {', '.join(NAMES)}")
    if settings.name == "vq" and (settings.m, settings.beta, settings.depth) != (1, 1, 1):
        raise SettingsError("quantizer 'vq' has one unit (m = 1), beta 1 and depth 1; use 'looc' for others")
    return LooC(settings)
