"""LooC: one low-dimensional codebook that all units of a feature vector share.

Li, Wong, Han: "LooC: Effective Low-Dimensional Codebook for Compositional Vector
Quantization", section 3.2. A feature vector of d values is cut into m units of
d_star = d / m contiguous channels; each picks one of K codevectors of the same codebook.
With m = 1 and beta = 1 this is the plain VQ of VQ-VAE.

beta ("extrapolation by interpolation"): the latents are interpolated x beta, quantised, and
beta x beta cells averaged. The file holds the beta^2 indices of a cell (modes `all` and
`conditional`), or only one, and the decoder interpolates and quantises again (`smooth`).

Depth 2: the first `wide` units take a coarse index of the same codebook first, enlarged by
`scale`, and a fine one for what remains. Without it the few large coefficients of a
photograph fall off the edge of a small codebook.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.quantizers.assignment import assign
from vqcodec.quantizers.base import RATE_WEIGHT, Quantized, Quantizer, QuantizerSettings
from vqcodec.quantizers.clustering import OnlineClustering

COMMITMENT = 0.25


class LooC(Quantizer):
    """A shared codebook [K, d_star] for m units, with beta and an optional coarse stage."""

    def __init__(self, settings: QuantizerSettings) -> None:
        super().__init__(settings)
        self.codebook: nn.Parameter = nn.Parameter(torch.empty(self.K, self.d_star).uniform_(-1 / self.K, 1 / self.K))
        self.clustering = OnlineClustering(self.K)
        self.online_clustering = True

    def forward(self, z: Tensor, indices: Tensor | None = None) -> Quantized:
        """Quantise z float32 [B, d, h, w]; see Quantizer.forward. Training also revives unused codevectors."""
        if indices is None:
            with torch.no_grad():
                indices = self.encode(z)
        z_q = self.decode(indices)
        usage = torch.bincount(indices.flatten(), minlength=self.K).float() / indices.numel()
        loss = F.mse_loss(z_q, z.detach()) + COMMITMENT * F.mse_loss(z, z_q.detach())
        if self.training and self.online_clustering:
            self.clustering.update(self.codebook, usage, z.detach().movedim(1, -1).reshape(-1, self.d_star))
        if self.training:
            z_q = z + (z_q - z).detach()
        return Quantized(z_q, indices, loss, usage)

    def note_usage(self, usage: Tensor) -> None:
        """Start online clustering from a counted usage [K] instead of from nothing."""
        self.clustering.average.copy_(usage)

    def expand(self, z: Tensor) -> Tensor:
        """Return z on the grid of the stored indices: interpolated x beta unless the mode is `smooth`."""
        return _upsample(z, self.beta) if self.settings.grid_factor > 1 else z

    def decode(self, indices: Tensor) -> Tensor:
        """Return z_q float32 [B, d, h, w] for indices [B, P, h', w']."""
        z_q = self._decode_grid(indices)
        if self.beta == 1:
            return z_q
        if self.settings.mode == "smooth":
            with torch.no_grad():
                again = self.encode_grid(_upsample(z_q, self.beta))
            z_q = self._decode_grid(again)
        return F.avg_pool2d(z_q, self.beta)

    def encode_grid(self, z: Tensor, bits: Tensor | None = None) -> Tensor:
        """Return indices int64 [B, P, h', w'] for z [B, d, h', w'] that expand() gave."""
        batch, _, h, w = z.shape
        x = z.reshape(batch, self.m, self.d_star, h * w).transpose(2, 3)
        penalty = _penalty(bits, batch, self.settings.planes)
        wide = self.settings.wide
        fine = _assign_units(x[:, wide:], self.codebook, _select(penalty, 2 * wide, None))[1]
        if wide:
            coarse, fine_wide = self._assign_wide(x[:, :wide], _select(penalty, 0, 2 * wide))
            fine = torch.cat([coarse, fine_wide, fine], 1)
        return fine.reshape(batch, self.settings.planes, h, w)

    def _assign_wide(self, x: Tensor, penalty: Tensor | None) -> tuple[Tensor, Tensor]:
        """Choose coarse and fine indices [B, wide, N] together, among two coarse candidates."""
        wide, scale = self.settings.wide, self.settings.scale
        penalty_coarse, penalty_fine = _select(penalty, 0, wide), _select(penalty, wide, 2 * wide)
        best_cost = torch.full(x.shape[:3], torch.inf, device=x.device)
        best_coarse = torch.zeros(x.shape[:3], dtype=torch.int64, device=x.device)
        best_fine = best_coarse.clone()
        for coarse in self._coarse_candidates(x / scale):
            cost, fine = _assign_units(x - scale * self.codebook[coarse], self.codebook, penalty_fine)
            if penalty_coarse is not None:
                cost = cost + penalty_coarse.gather(2, coarse)
            better = cost < best_cost
            best_cost = torch.where(better, cost, best_cost)
            best_coarse = torch.where(better, coarse, best_coarse)
            best_fine = torch.where(better, fine, best_fine)
        return best_coarse, best_fine

    def _coarse_candidates(self, x: Tensor) -> list[Tensor]:
        """Return the codevector nearest to zero, which is almost always the cheapest, and the one nearest to x."""
        zero = int(self.codebook.square().sum(1).argmin())
        return [torch.full(x.shape[:3], zero, device=x.device), _assign_units(x, self.codebook, None)[1]]

    def _decode_grid(self, indices: Tensor) -> Tensor:
        batch, _, h, w = indices.shape
        wide = self.settings.wide
        units = F.embedding(indices[:, wide:], self.codebook)
        if wide:
            coarse = self.settings.scale * F.embedding(indices[:, :wide], self.codebook)
            units = torch.cat([units[:, :wide] + coarse, units[:, wide:]], 1)
        return units.permute(0, 1, 4, 2, 3).reshape(batch, self.d, h, w)


def _upsample(z: Tensor, beta: int) -> Tensor:
    return F.interpolate(z, scale_factor=beta, mode="bilinear", align_corners=False)


def _penalty(bits: Tensor | None, batch: int, planes: int) -> Tensor | None:
    if bits is None:
        return None
    return (RATE_WEIGHT * bits).expand(batch, planes, -1)


def _select(penalty: Tensor | None, start: int, stop: int | None) -> Tensor | None:
    return None if penalty is None else penalty[:, start:stop]


def _assign_units(x: Tensor, codebook: Tensor, penalty: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return costs and indices [B, units, N] for x [B, units, N, d_star] and penalty [B, units, K]."""
    batch, units, count, d_star = x.shape
    if penalty is not None:
        penalty = penalty.reshape(batch * units, len(codebook))
    cost, index = assign(x.reshape(batch * units, count, d_star), codebook, penalty)
    return cost.reshape(batch, units, count), index.reshape(batch, units, count)
