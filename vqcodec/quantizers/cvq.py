"""CVQ-VAE: the quantizer of VQ-VAE whose unused codevectors come back.

Zheng, Vedaldi: "Online Clustered Codebook". Equations 4 to 6 are in clustering.py, the choice of anchors in
anchors.py. As published the codevectors are matched by direction: that is match="cosine" of the settings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vqcodec.errors import SettingsError
from vqcodec.quantizers.averaged import Averaged, Learn
from vqcodec.quantizers.layout import assignment
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.quantizers.learning import anchors
from vqcodec.quantizers.learning.anchors import Anchor, Features
from vqcodec.quantizers.learning.clustering import OnlineClustering, When
from vqcodec.quantizers.registry import register

# That of the published code of CVQ-VAE, which follows contrastive learning on images (MoCo).
_TEMPERATURE = 0.07


@dataclass(frozen=True)
class Options:
    """anchor: what unused codevectors move to; when: after every batch, or `offline`, after the first one only.

    contrastive: weight of the contrastive loss, 0 for none. learn: what moves codevectors that are used, the
    gradient of the loss or moving averages of their features (`ema`).
    """

    anchor: Anchor = "closest"
    when: When = "online"
    contrastive: float = 0.0
    learn: Learn = "loss"


@register(
    "cvq", options=Options,
    first={"options": {"learn": "ema"}},
    remedy="-O learn=ema, other anchors (-O anchor=random) or a larger --batch, which has more of them",
)  # fmt: skip
class CVQ(Averaged):
    """A codebook [K, d] that learns by gradient and by online clustering."""

    def __init__(self, settings: QuantizerSettings, options: Options = Options()) -> None:
        super().__init__(settings, options.learn)
        if not 0 <= options.contrastive < float("inf"):
            raise SettingsError(
                f"option contrastive of quantizer {settings.name!r} is {options.contrastive:g}; choose 0 or more"
            )
        self.contrastive = options.contrastive
        self.clustering = OnlineClustering(self.K, self.d_star, settings.match, options.anchor, options.when)

    def loss(self, z: Tensor, z_q: Tensor) -> Tensor:
        """Return VQ's loss plus the weighted contrastive loss."""
        loss = super().loss(z, z_q)
        if not self.contrastive:
            return loss
        # The table of similarities, which gradients keep, takes no more than its budget.
        sample = Features(z.detach(), self.d_star).sample(max(1, assignment.BUDGET_VALUES // self.K))
        # Of a copy: gradients need these values after online clustering has changed the codebook in place.
        similarities = anchors.similarity(self.codebook.clone(), sample, self.settings.match)
        return loss + self.contrastive * contrastive_loss(similarities)

    def update(self, z: Tensor, indices: Tensor, usage: Tensor) -> None:
        """Revive unused codevectors at features of this batch."""
        super().update(z, indices, usage)
        self.clustering.update(self.codebook, usage, Features(z, self.d_star))

    def note_usage(self, usage: Tensor) -> None:
        """Start online clustering from a counted usage [K] instead of from nothing."""
        super().note_usage(usage)
        self.clustering.average.copy_(usage)


def contrastive_loss(similarities: Tensor) -> Tensor:
    """Return the mean cross entropy of codevectors for similarities [K, n] to features (section 3.2).

    A codevector's positive is the mean of its largest n / K similarities, at least one; its negatives are the
    lower half.
    """
    K, count = similarities.shape
    positive = similarities.topk(max(1, count // K), 1).values.mean(1, keepdim=True)
    negatives = similarities.topk(count // 2, 1, largest=False, sorted=False).values
    logits = torch.cat([positive, negatives], 1) / _TEMPERATURE
    return F.cross_entropy(logits, torch.zeros(K, dtype=torch.int64, device=logits.device))
