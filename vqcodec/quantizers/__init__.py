"""Quantizers behind one contract (base.py), one file per idea.

layout/     what a file depends on: settings.py, how indices stand for latents (coding.py), how a feature finds its
            codevector (matching.py, assignment.py)
learning/   how a codebook learns, and neither file nor decoder depends on: gradients.py, averages.py, posterior.py;
            how unused codevectors come back (clustering.py) and what they move to (anchors.py)
averaged.py and soft.py are what several methods have in common. In registry.py each registers itself.
"""

from vqcodec.quantizers.base import Fixed, Learned, Quantized, Quantizer
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.quantizers.registry import build, method, names, names_by_rate, register, settings_of

__all__ = [
    "Fixed", "Learned", "Quantized", "Quantizer", "QuantizerSettings", "build", "method", "names", "names_by_rate",
    "register", "settings_of",
]  # fmt: skip
