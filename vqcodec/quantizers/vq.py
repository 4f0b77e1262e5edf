"""The quantizer of VQ-VAE: one codevector for the whole feature vector.

van den Oord, Vinyals, Kavukcuoglu 2017: "Neural Discrete Representation Learning". The codebook
learns by gradient (equation 3) or by moving averages of what chose each codevector (appendix A.1).
Codes of unit length are those of Yu et al. 2022, "Vector-quantized Image Modeling with Improved VQGAN",
section 3.2, "l2-normalized codes".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.errors import SettingsError
from vqcodec.quantizers.base import COMMITMENT, Learned
from vqcodec.quantizers.gradients import vector_sums
from vqcodec.quantizers.settings import QuantizerSettings

DECAY = 0.99
_EPSILON = 1e-5


@dataclass(frozen=True)
class Options:
    """learn: what moves codevectors, the gradient of the loss or moving averages of their features (`ema`).

    codes: `unit` for codevectors of length 1, which need match="cosine"; the loss then compares them with
    the features' directions.
    """

    learn: Literal["loss", "ema"] = "loss"
    codes: Literal["free", "unit"] = "free"


class VQ(Learned):
    """A codebook [K, d] for whole feature vectors."""

    def __init__(self, settings: QuantizerSettings, options: Options = Options()) -> None:
        super().__init__(settings)
        self.unit = options.codes == "unit"
        if self.unit and settings.match != "cosine":
            raise SettingsError(
                f"codes='unit' of quantizer 'vq' does not fit match={settings.match!r}; choose match='cosine'"
            )
        self.averages = MovingAverages(self.K) if options.learn == "ema" else None

    def table(self) -> Tensor:
        """Return the codebook, in the length that the codes have."""
        return F.normalize(self.codebook, dim=1) if self.unit else self.codebook

    def loss(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return VQ-VAE's loss; with moving averages only the commitment, which leaves the codebook alone."""
        features = self._features(z)
        if self.averages is None:
            return super().loss(features, z_q)
        return COMMITMENT * F.mse_loss(features, z_q.detach())

    def update(self, z: Tensor, indices: Tensor, usage: Tensor) -> None:
        """Move codevectors to the averages of what chose them."""
        if self.averages is not None:
            self.averages.update(self.codebook, self._features(z), indices)

    def note_usage(self, usage: Tensor) -> None:
        """Start the moving averages from a counted usage [K]; the codebook is then what they have averaged."""
        if self.averages is not None:
            self.averages.counts.copy_(usage * self.averages.counts.sum())

    def _features(self, z: Tensor) -> Tensor:
        return F.normalize(z, dim=1) if self.unit else z


class MovingAverages(nn.Module):
    """Keeps how many features chose each codevector [K]; the codevectors keep their sums, divided by that.

    Counts are smoothed as if there were a little of everything (Laplace), so that none is zero.
    """

    counts: Tensor

    def __init__(self, K: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.ones(K))

    @torch.no_grad()
    def update(self, codebook: nn.Parameter, z: Tensor, indices: Tensor) -> None:
        """Move the codebook [K, d] by a batch z [B, d, h, w] with its indices [B, 1, h, w]."""
        sums = codebook * self._smoothed()[:, None]
        sums.mul_(DECAY).add_(vector_sums(z, indices, len(codebook)), alpha=1 - DECAY)
        chosen = torch.bincount(indices.flatten(), minlength=len(codebook))
        self.counts.mul_(DECAY).add_(chosen, alpha=1 - DECAY)
        codebook.copy_(sums / self._smoothed()[:, None])

    def _smoothed(self) -> Tensor:
        total = self.counts.sum()
        return (self.counts + _EPSILON) * (total / (total + len(self.counts) * _EPSILON))
