"""Quantizers behind one contract (base.py), one file per idea.

layout/     what a file depends on: settings.py, how indices stand for latents (coding.py), how a feature finds its
            codevector (matching.py, assignment.py)
learning/   how a codebook learns, and neither file nor decoder depends on: gradients.py, averages.py, posterior.py;
            how unused codevectors come back (clustering.py) and what they move to (anchors.py)
averaged.py and soft.py are what several methods have in common.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from vqcodec.quantizers.base import Fixed, Learned, Quantized, Quantizer
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.quantizers.learning.options import parse_options

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
