"""A discriminator of patches, its hinge losses, and the weight that balances them against reconstruction.

"Taming Transformers for High-Resolution Image Synthesis" (VQGAN), section 3.1; the hinge losses are those of
"Geometric GAN", feature matching is that of "High-Resolution Image Synthesis with Conditional GANs", equation 4.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Both are VQGAN's, equation 7 and its published code.
ADAPTIVE_EPSILON = 1e-4
MOST_ADAPTIVE = 1e4
# That of the patch discriminator of pix2pix, which VQGAN takes over.
_SLOPE = 0.2


class Judgment(NamedTuple):
    """What a discriminator says: logits [B, 1, h, w], high for real, and the features [B, C, h', w'] behind them."""

    logits: Tensor
    features: list[Tensor]


class PatchDiscriminator(nn.Module):
    """Tells real pictures [B, 3, 8h, 8w] in [0, 1] from reconstructed ones, one logit for every 8 x 8 pixels.

    Each logit sees 54 x 54 pixels: texture, not content. It has no norms: those of a batch leak from picture to picture
    in small batches, and with spectral norms it had learned next to nothing after 500 steps.
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        sizes = [3, width, 2 * width, 4 * width]
        halving = [nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in itertools.pairwise(sizes)]
        kept = nn.Conv2d(sizes[-1], sizes[-1], 3, padding=1)
        self.layers = nn.ModuleList([*halving, kept])
        self.out = nn.Conv2d(sizes[-1], 1, 3, padding=1)

    def forward(self, x: Tensor) -> Judgment:
        """Return the judgment on pictures x float32 [B, 3, H, W]."""
        y, features = 2 * x - 1, []
        for layer in self.layers:
            y = F.leaky_relu(layer(y), _SLOPE)
            features.append(y)
        return Judgment(self.out(y), features)


def discriminator_hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Return the loss of a discriminator with these logits: 0 once real ones are above 1 and fake ones below -1."""
    return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2


def generator_hinge(fake: Tensor) -> Tensor:
    """Return the loss of what made pictures with these logits."""
    return -fake.mean()


def feature_matching(real: Judgment, fake: Judgment) -> Tensor:
    """Return the mean over layers of |difference| of what the discriminator sees in pairs of pictures."""
    pairs = zip(real.features, fake.features, strict=True)
    return torch.stack([F.l1_loss(b, a.detach()) for a, b in pairs]).mean()


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor) -> Tensor:
    """Return |g_rec| / (|g_adv| + 1e-4), at most 1e4, for the gradients of two losses in the last layer's weights.

    VQGAN, equation 7.
    """
    ratio = reconstruction.norm() / (adversarial.norm() + ADAPTIVE_EPSILON)
    weight: Tensor = ratio.clamp(0, MOST_ADAPTIVE).detach()
    return weight
