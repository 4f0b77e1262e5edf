"""VQCT: codevectors are vectors of words, which do not learn, behind a map that does.

Of Zhang et al. 2024, "Codebook Transfer with Part-of-Speech for Vector-Quantized Image Modeling": the codebook is what
a graph convolution of two layers makes of a frozen table, so that one step moves all codevectors, and words that are
alike stay alike. The paper's table has CLIP's vectors of adjectives and nouns, and its graph says which go together.
Here the table is whatever a file has, or numbers drawn by a seed, which know nothing of words, and the
graph says which of its vectors are most alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.errors import SettingsError
from vqcodec.quantizers.base import Quantizer
from vqcodec.quantizers.layout import assignment
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.quantizers.learning import words
from vqcodec.quantizers.registry import register

# A channel in which all codevectors are alike is left alone instead of being blown up to noise.
_LEAST_DEVIATION = 1e-4


@dataclass(frozen=True)
class Options:
    """table: a file of vectors, .npy or text as of GloVe, of which the first K are taken; none draws K by `seed`.

    width: values of a vector that is drawn; hidden: width of the map's middle; neighbors: how many of the most similar
    vectors a vector is averaged with, 0 for none.
    """

    table: str = ""
    width: int = 300
    seed: int = 0
    hidden: int = 256
    neighbors: int = 2


@register("vqct", options=Options, remedy="a smaller -K, or a lower learning rate")
class VQCT(Quantizer):
    """A frozen table [K, width] and the map that makes codevectors [K, d] of it."""

    table: Tensor
    near: Tensor

    def __init__(self, settings: QuantizerSettings, options: Options = Options()) -> None:
        super().__init__(settings)
        for key, least in (("width", 1), ("hidden", 1), ("neighbors", 0)):
            if getattr(options, key) < least:
                raise SettingsError(
                    f"option {key} of quantizer 'vqct' is {getattr(options, key)}; choose {least} or more"
                )
        if options.neighbors >= self.K:
            raise SettingsError(f"option neighbors of quantizer 'vqct' is {options.neighbors}; choose less than K")
        table = words.read(options.table, self.K) if options.table else words.drawn(self.K, options.width, options.seed)
        near = words.most_alike(table, options.neighbors + 1, assignment.BUDGET_VALUES)
        # What does not learn is averaged once; a checkpoint has it, so that a file that changes does not change a run.
        self.register_buffer("near", near)
        self.register_buffer("table", table[near].mean(1))
        self.first = nn.Linear(table.shape[1], options.hidden)
        self.second = nn.Linear(options.hidden, self.d_star)

    def codevectors(self) -> Tensor:
        """Return float32 [K, d], what the map makes of the table."""
        return self.second(F.relu(self.first(self.table))[self.near].mean(1))  # type: ignore[no-any-return]

    @torch.no_grad()
    def begin(self, z: Tensor, generator: torch.Generator) -> None:
        """Give the codevectors the mean and the deviation that z has in each channel; where they lie the table says."""
        vectors = self.codevectors()
        mean, deviation = z.mean((0, 2, 3)), z.std((0, 2, 3))
        scale = deviation / vectors.std(0).clamp(min=_LEAST_DEVIATION)
        self.second.weight.mul_(scale[:, None])
        self.second.bias.copy_((self.second.bias - vectors.mean(0)) * scale + mean)
