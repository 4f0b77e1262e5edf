"""The quantizer of VQ-VAE: one codevector for the whole feature vector.

van den Oord, Vinyals, Kavukcuoglu 2017: "Neural Discrete Representation Learning". The codebook
learns by gradient (equation 3) or by moving averages of what chose each codevector (appendix A.1).
Codes of unit length are those of Yu et al. 2022, "Vector-quantized Image Modeling with Improved VQGAN",
section 3.2, "l2-normalized codes".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from vqcodec.errors import SettingsError
from vqcodec.quantizers.averaged import Averaged, Learn
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.quantizers.registry import register


@dataclass(frozen=True)
class Options:
    """learn: what moves codevectors, the gradient of the loss or moving averages of their features (`ema`).

    codes: `unit` for codevectors of length 1, which need match="cosine"; the loss then compares them with
    the features' directions.
    """

    learn: Learn = "loss"
    codes: Literal["free", "unit"] = "free"


@register(
    "vq", options=Options, by_rate=True,
    first={"options": {"learn": "ema"}},
    remedy="-O learn=ema, which keeps codevectors among the latents, or quantizer cvq, which revives them",
)  # fmt: skip
class VQ(Averaged):
    """A codebook [K, d] for whole feature vectors."""

    def __init__(self, settings: QuantizerSettings, options: Options = Options()) -> None:
        super().__init__(settings, options.learn)
        self.has_unit_length = options.codes == "unit"
        if self.has_unit_length and settings.match != "cosine":
            raise SettingsError(
                f"codes='unit' of quantizer 'vq' does not fit match={settings.match!r}; choose match='cosine'"
            )

    def codevectors(self) -> Tensor:
        """Return the codebook, in the length that the codes have."""
        return F.normalize(self.codebook, dim=1) if self.has_unit_length else self.codebook

    def features(self, z: Tensor) -> Tensor:
        """Return z [B, d, h, w], in the length that the codes have."""
        return F.normalize(z, dim=1) if self.has_unit_length else z
