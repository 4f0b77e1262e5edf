"""SSIMULACRA 2 that can be differentiated, in batches and in float32.

The measure is Sneyers' (libjxl, tools/ssimulacra2.cc): in six scales of the color space XYB, the mean and the 4-norm
of a map of structural similarity and of two maps of edges, of which one has those that the copy adds and one those
that it has lost; 108 weights and a polynomial make one number of them.

Where numbers nearly cancel each other, what the copy differs by is computed from the difference itself.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.losses.filters import blur, bounded, halve

# As libjxl has them, like all numbers below that are not explained.
SCALES, MIN_SIDE = 6, 8
_C2 = 0.0009
HALF_TAPS = (0.2646211054882, 0.2129285920104, 0.1093353727775, 0.0360111146584, 0.0094143678097)
"""Impulse response of libjxl's recursive Gaussian for a standard deviation of 1.5, from its middle outwards."""
_OPSIN = ((0.3, 0.622, 0.078), (0.23, 0.692, 0.078), (0.24342268924547819, 0.20476744424496821, 0.5518098665095536))
_BIAS = 0.0037930732552754493
# From cube roots to X, Y and B - Y, scaled and shifted so that all are positive.
_XYB = ((7.0, -7.0, 0.0), (0.5, 0.5, 0.0), (-0.5, -0.5, 1.0))
_SHIFT = (0.42, 0.01, 0.55)
# A row for each channel and scale: mean and 4-norm, each of similarity, added edges, lost edges.
_WEIGHTS = (
    (0, 0.0007376606707, 0, 0, 0.0007793481683, 0),
    (0, 0.000437115573, 0, 1.104172643, 0.0006628483413, 0.0001523163278),
    (0, 0.001640643746, 0, 1.842245552, 11.4411726, 0),
    (0.0007989109436, 0.0001768164381, 0, 1.878759498, 10.94906991, 0),
    (0.0007289346992, 0.9677937081, 0, 0.0001400342429, 0.9981766978, 0.0003194975593),
    (0.0004550992114, 0, 0, 0.001364876616, 0, 0),
    (0, 0, 0, 7.466890328, 0, 17.44583398),
    (0.0006235601634, 0, 0, 6.683678146, 0.0003772440798, 1.027889938),
    (225.205153, 0, 0, 19.21323819, 0.001140152459, 0.001237755636),
    (176.393176, 0, 0, 24.43301, 0.2852080261, 0.0004485436924),
    (0, 0, 0, 34.77906344, 44.83562533, 0),
    (0, 0, 0, 0, 0, 0),
    (0, 0.0008680556573, 0, 0, 0, 0),
    (0, 0.0005313191874, 0, 0.0001653381416, 0, 0),
    (0, 0, 0, 0.0004179171803, 0.001729082823, 0),
    (0.002082700585, 0, 0, 8.826982765, 23.19243344, 0),
    (95.10804988, 0.9863978034, 0.9834382792, 0.001228640505, 171.2667256, 0.9807858872),
    (0, 0, 0, 0.0005130064589, 0, 0.0001085405786),
)
_SCALE = 0.9562382616834844
_CUBIC = (2.326765642916932, -0.020884521182843837, 6.248496625763138e-05)
_POWER = 0.6276336467831387
# The cubic is all but flat at 111, a score of -65. From here on, a score of about 0, the loss is a straight line.
_KNEE = 20.0
_NORM_EPSILON, _CUBIC_EPSILON, _LEAST_CUBIC = 1e-24, 1e-3, 1e-12


class Ssimulacra2(nn.Module):
    """(100 - SSIMULACRA 2) / 100; sides of at least 8.

    Within 0.002 of that down to scores of about 0, below it goes on as a straight line in the weighted sum. Samples
    outside 0..1 count as 0 or 1, with the gradients that lead back.
    """

    taps: Tensor
    opsin: Tensor
    xyb: Tensor
    shift: Tensor
    weights: Tensor

    def __init__(self) -> None:
        super().__init__()
        constants = {
            "taps": torch.tensor(HALF_TAPS[:0:-1] + HALF_TAPS),
            "opsin": torch.tensor(_OPSIN),
            "xyb": torch.tensor(_XYB),
            "shift": torch.tensor(_SHIFT) - torch.tensor(_XYB).sum(1) * _BIAS ** (1 / 3),
            "weights": torch.tensor(_WEIGHTS).flatten(),
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant, persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scalar for originals x and reconstructions y float32 [B, 3, H, W]."""
        return _loss(self._distances(x, y)).mean()

    def scores(self, x: Tensor, y: Tensor) -> Tensor:
        """Return float32 [B], the score of each pair: 100 for the same picture, below 0 for a very bad one.

        Sides must be 8 or more.
        """
        return 100 - 10 * _cubic(self._distances(x, y)).clamp(min=_LEAST_CUBIC) ** _POWER

    def _distances(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the weighted sums [B] of all averages."""
        x, y = _linear(x), _linear(y)
        averages: list[Tensor] = []
        while len(averages) < SCALES and min(x.shape[2:]) >= MIN_SIDE:
            averages.append(self._averages(self._to_xyb(x), self._to_xyb(y)))
            x, y = halve(x), halve(y)
        flat = torch.stack(averages, 2).flatten(1)
        # Small pictures use the first of the weights, whatever channel and scale those were fitted for.
        return _SCALE * (flat @ self.weights[: flat.shape[1]].to(flat.dtype))

    def _to_xyb(self, linear: Tensor) -> Tensor:
        """Return XYB [B, 3, H, W] of linear RGB, channels last as the blur likes it."""
        mixed = F.linear(linear.permute(0, 2, 3, 1), self.opsin.to(linear.dtype)) + _BIAS
        roots = mixed ** (1 / 3)
        return F.linear(roots, self.xyb.to(roots.dtype), self.shift.to(roots.dtype)).permute(0, 3, 1, 2)

    def _averages(self, a: Tensor, b: Tensor) -> Tensor:
        """Return [B, 3, 6] for planes of XYB [B, 3, H, W]: the averages of one scale in the order of the weights."""
        mean_a, mean_b = self._blur(a), self._blur(b)
        difference, mean_d = b - a, mean_b - mean_a
        variances = self._blur(a.square() + b.square()) - mean_a.square() - mean_b.square() + _C2
        variance_d = self._blur(difference.square()) - mean_d.square()
        luminance = mean_d.square()
        dissimilarity = (luminance * (variances - variance_d) + variance_d) / variances
        edge = (a - mean_a).abs()
        change = ((b - mean_b).abs() - edge) / (1 + edge)
        maps = [F.relu(m) for m in (dissimilarity, change, -change)]
        return torch.stack([m.mean((2, 3)) for m in maps] + [_norm4(m) for m in maps], 2)

    def _blur(self, planes: Tensor) -> Tensor:
        return blur(planes, self.taps, len(HALF_TAPS) - 1)


def _linear(pixels: Tensor) -> Tensor:
    """Return linear RGB of sRGB, channels last."""
    pixels = bounded(pixels, 0.0, 1.0).contiguous(memory_format=torch.channels_last)
    return torch.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4)


def _norm4(values: Tensor) -> Tensor:
    """Return [B, 3], the 4-norms of maps [B, 3, H, W]; the slope is finite at 0."""
    power = values.square().square().mean((2, 3))
    return power / (power + _NORM_EPSILON) ** 0.75


def _cubic(distance: Tensor) -> Tensor:
    first, second, third = _CUBIC
    return ((third * distance + second) * distance + first) * distance


def _loss(distance: Tensor) -> Tensor:
    """Return (100 - score) / 100 of weighted sums [B]: finite slope at 0, straight beyond the knee."""
    knee = torch.tensor(_KNEE, dtype=distance.dtype, device=distance.device)
    inner = sum(n * factor * _KNEE ** (n - 1) for n, factor in enumerate(_CUBIC, 1))
    slope = 0.1 * _POWER * (_cubic(knee) + _CUBIC_EPSILON) ** (_POWER - 1) * inner
    curve = 0.1 * ((_cubic(distance.clamp(max=_KNEE)) + _CUBIC_EPSILON) ** _POWER - _CUBIC_EPSILON**_POWER)
    loss: Tensor = curve + slope * F.relu(distance - _KNEE)
    return loss
