"""Steps of an encoder whose model is for looks: from what its analysis says, part of the way to less squared error.

Losses for looks have no step to go that would not diverge (docs/lab/looks.md), and a model for looks does not weigh
bits against squared error. But of quantized latents that cost the same those are better, by all measures, that lie
where the picture's squared error is less, near what the analysis wants. So a step leads to between the two, and to
where later latents cost less (influence.py). There is no cost to tell the best step by, so the last one stands.
"""

from __future__ import annotations

import numpy as np

from vqcodec.cores import check_wanted
from vqcodec.encoder.choice import Encoder, Latents, Sought
from vqcodec.encoder.proximal import Distortion, proximal_steps, pulled, with_bar
from vqcodec.exact.priors.tables import Choice

# Of the way from the analysis to the least squared error, and how many steps of the quantizer that is at most.
_SHARE, _FARTHEST = 0.7, 1.0
# More than where squared error is all that counts: looks bear more of it (docs/lab/looks.md).
_INFLUENCE, _FARTHEST_SAID = 6.0, 0.3


def refine_for_looks(
    encoder: Encoder, z: Latents, distortion: Distortion, sizes: Latents, quality: float, weight: float, steps: int
) -> Choice:
    """Return the choice for latents z float32 [d, h, w] of an analysis after `steps` steps.

    sizes: see whole_sizes; weight: what a bit counts against a squared error of one step^2.
    """

    def quantize(latents: Latents) -> tuple[Sought, Latents, float]:
        check_wanted()
        sought = encoder.seek(latents, quality, weight)
        return sought, encoder.latents(sought.choice.codes), 0.0

    def slope(decoded: Latents) -> tuple[float, Latents]:
        error, gradient = distortion.slope(decoded)
        away = np.clip(sizes * gradient, -_FARTHEST, _FARTHEST)
        return error, _SHARE * away + (1 - _SHARE) * (decoded - z)

    def influence(sought: Sought, latents: Latents) -> Latents:
        return pulled(_INFLUENCE * weight / 2, encoder.influence(sought, latents, quality, weight), _FARTHEST_SAID)

    # Gradients are in steps here, and not in bits: one of 1 leads one step away.
    found = proximal_steps(Distortion(distortion.value, slope), np.float32(1), z, quantize, steps, influence)
    *_, (last, _) = with_bar(found, steps + 1)
    return last.choice
