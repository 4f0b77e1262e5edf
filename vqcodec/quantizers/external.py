"""Quantizers of the package vector-quantize-pytorch behind this package's contract.

The package computes what training needs: the gradient, the loss, moving averages. What a file needs, codebook
and indices, is this package's own, and names the same vectors. The package is imported when such a
quantizer is made; Fixed, which decodes, does without it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vqcodec.errors import SettingsError
from vqcodec.quantizers.base import Quantized, Quantizer, check_finite, draw
from vqcodec.quantizers.layout import matching
from vqcodec.quantizers.layout.settings import MOST_UNITS, QuantizerSettings
from vqcodec.quantizers.learning.gradients import COMMITMENT
from vqcodec.quantizers.learning.lloyd import lloyd
from vqcodec.quantizers.registry import register


class External(Quantizer):
    """A quantizer that the package trains.

    Given indices are followed straight through, without the package. In eval mode the loss is VQ's.
    """

    def __init__(self, settings: QuantizerSettings) -> None:
        super().__init__(settings)
        self.library = self._make(_import(settings.name))

    def forward(self, z: Tensor, indices: Tensor | None = None) -> Quantized:
        """Quantize z [B, d, h, w]; in training z_q, its gradient and the loss are the package's."""
        if not self.training or indices is not None:
            return super().forward(z, indices)
        check_finite(z)
        z_q, chosen, loss = self._train(z)
        # The package puts units last, if there are several.
        indices = chosen.long().view(*z.shape[:1], *z.shape[2:], -1).movedim(-1, 1)
        return Quantized(z_q, indices, loss, self.usage_of(indices))

    @abstractmethod
    def _make(self, package: Any) -> Any:
        """Return the package's module."""

    def _train(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the package's z_q [B, d, h, w], indices [B, h, w] or, of several units, [B, h, w, m], and loss."""
        z_q, indices, loss = self.library(z)
        return z_q, indices, loss


def fsq_sizes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return K, d and match, which follow from the levels of each channel of a unit."""
    levels = values["levels"]
    return {"K": math.prod(levels), "d": len(levels) * values.get("m", 1), "match": "fsq"}


def lfq_sizes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return d, which follows from K: a bit for each channel of a unit."""
    return {"d": (int(values["K"]) - 1).bit_length() * values.get("m", 1)}


@register(
    "fsq",
    match="fsq",
    units=MOST_UNITS,
    defaults={"levels": (8, 5, 5, 5)},
    sizes=fsq_sizes,
    first={"levels": (8, 6, 5)},
    remedy="fewer levels (levels = [8, 5, 5] in a recipe)",
)
class FSQ(External):
    """Finite scalar quantization, Mentzer et al. 2023: a grid instead of a codebook, rounding instead of a search."""

    points: Tensor

    def __init__(self, settings: QuantizerSettings) -> None:
        super().__init__(settings)
        self.register_buffer("points", matching.grid(settings.levels), persistent=False)

    def codevectors(self) -> Tensor:
        """Return the grid float32 [K, d_star]."""
        return self.points

    def loss(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return 0: there is no codebook that could learn, and features are bounded already."""
        return z.new_zeros(())

    def _make(self, package: Any) -> Any:
        return package.FSQ(list(self.settings.levels), num_codebooks=self.m)

    def _train(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z_q, indices = self.library(z)
        return z_q, indices, self.loss(z, z_q)


@register("lfq", match="l2", units=MOST_UNITS, defaults={"K": 1024}, sizes=lfq_sizes, remedy="a smaller -K")
class LFQ(External):
    """Lookup-free quantization, Yu et al. 2023 (MAGVIT-v2): the signs of the features, with an entropy loss."""

    def codevectors(self) -> Tensor:
        """Return the corners of the cube, -1 and 1, float32 [2^d_star, d_star]."""
        corners: Tensor = self.library.codebook
        return corners

    def _make(self, package: Any) -> Any:
        if 2**self.d_star != self.K:
            raise SettingsError(
                f"quantizer 'lfq' has one bit per channel; K={self.K} is not 2^{self.d_star}, choose K or d_star to fit"
            )
        return package.LFQ(dim=self.d, codebook_size=self.K, num_codebooks=self.m, commitment_loss_weight=COMMITMENT)


@register("simvq", match="l2", remedy="a smaller -K, or a lower learning rate")
class SimVQ(External):
    """SimVQ, Zhu et al. 2024: a linear map learns, and with it all codevectors of a random, frozen codebook."""

    def codevectors(self) -> Tensor:
        """Return the mapped codebook float32 [K, d_star]."""
        codebook: Tensor = self.library.codebook
        return codebook

    @torch.no_grad()
    def begin(self, z: Tensor, generator: torch.Generator) -> None:
        """Freeze features of z drawn at random, behind the map that changes nothing."""
        self.library.frozen_codebook.copy_(draw(z, self.K, generator))
        torch.nn.init.eye_(self.library.code_transform.weight)

    def cluster(self, z: Tensor) -> None:
        """Take a few rounds of Lloyd's algorithm, before the map has learned anything."""
        lloyd(self.library.frozen_codebook, z, lambda: self.encode(z))

    def _make(self, package: Any) -> Any:
        return package.SimVQ(dim=self.d_star, codebook_size=self.K, channel_first=True)


@register("rotation", match="l2", remedy="a smaller -K, or quantizer cvq, which revives codevectors")
class Rotation(External):
    """VQ by moving averages with the rotation trick, Fifty et al. 2024: gradients turn as features do."""

    def codevectors(self) -> Tensor:
        """Return the codebook float32 [K, d_star]."""
        codebook: Tensor = self.library.codebook
        return codebook

    def begin(self, z: Tensor, generator: torch.Generator) -> None:
        """Make every codevector one of the features in z, drawn at random."""
        self._average(draw(z, self.K, generator), torch.ones(self.K, device=z.device))

    def cluster(self, z: Tensor) -> None:
        """Take a few rounds of Lloyd's algorithm."""
        codebook = self.library._codebook.embed[0]
        counts = lloyd(codebook, z, lambda: self.encode(z))
        self._average(codebook, counts.clamp(min=1))

    @torch.no_grad()
    def _average(self, codebook: Tensor, counts: Tensor) -> None:
        """Have the package's moving averages stand at a codebook [K, d], chosen so often [K]."""
        averages = self.library._codebook
        averages.embed[0], averages.cluster_size[0] = codebook, counts
        averages.embed_avg[0] = codebook * counts[:, None]

    def _make(self, package: Any) -> Any:
        return package.VectorQuantize(
            dim=self.d_star, codebook_size=self.K, rotation_trick=True, accept_image_fmap=True
        )


def _import(name: str) -> Any:
    try:
        import vector_quantize_pytorch
    except ImportError as error:
        raise SettingsError(
            f"quantizer {name!r} needs vector-quantize-pytorch; pip install 'vqcodec[quantizers]'"
        ) from error
    return vector_quantize_pytorch
