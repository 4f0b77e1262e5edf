"""Quantizers behind one contract (base.py), one file per idea.

settings.py   what a file's reader must know      matching.py   how a feature finds its codevector
coding.py     latents to indices and back         clustering.py how unused codevectors come back
gradients.py  what the codebook learns from       anchors.py    and what they move to
averages.py   codebooks as moving averages        posterior.py  samples and losses of soft assignments, for soft.py
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from vqcodec.quantizers.base import Fixed, Learned, Quantized, Quantizer
from vqcodec.quantizers.options import parse_options
from vqcodec.quantizers.settings import QuantizerSettings

__all__ = ["NAMES", "Fixed", "Learned", "Quantized", "Quantizer", "QuantizerSettings", "build"]

_CLASSES = {
    "looc": ("looc", "LooC"),
    "vq": ("vq", "VQ"),
    "cvq": ("cvq", "CVQ"),
    "pq": ("pq", "PQ"),
    "rq": ("rq", "RQ"),
    "hvq": ("hvq", "HVQ"),
    "dual": ("dual", "Dual"),
    "gumbel": ("gumbel", "Gumbel"),
    "sq": ("sq", "SQ"),
    "fsq": ("external", "FSQ"),
    "lfq": ("external", "LFQ"),
    "simvq": ("external", "SimVQ"),
    "rotation": ("external", "Rotation"),
}
NAMES = tuple(_CLASSES)


def build(settings: QuantizerSettings, options: Mapping[str, Any] | None = None) -> Quantizer:
    """Return a new quantizer of the method settings.name, to be trained.

    `options` are those of its module's Options; SettingsError for what it does not know. A trained one
    is Fixed, whatever its method.
    """
    module_name, class_name = _CLASSES[settings.name]
    module = importlib.import_module(f"vqcodec.quantizers.{module_name}")
    kind: type[Quantizer] = getattr(module, class_name)
    if hasattr(module, "Options"):
        return kind(settings, parse_options(module.Options, options or {}, settings.name))  # type: ignore[call-arg]
    parse_options(object, options or {}, settings.name)
    return kind(settings)
