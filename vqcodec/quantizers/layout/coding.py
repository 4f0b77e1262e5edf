"""Latents to indices and back under a constant codebook; what every quantizer shares.

Three layouts, see base.py: units that share a codebook (with beta and an optional coarse stage),
units with a codebook each, and stages that add up.

beta ("extrapolation by interpolation", LooC section 3.2): the latents are interpolated x beta,
quantized, and beta x beta cells averaged. The file holds the beta^2 indices of a cell (modes `all`
and `conditional`), or only one, and the decoder interpolates and quantizes again (`smooth`).

Depth 2 of a shared codebook: the first `wide` units take a coarse index of the same codebook first, enlarged by
`scale`, and a fine one for what remains. Without it the few large coefficients of a
photograph fall off the edge of a small codebook.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vqcodec.choices import RATE_WEIGHT
from vqcodec.quantizers.layout import matching
from vqcodec.quantizers.layout.assignment import assign
from vqcodec.quantizers.layout.settings import QuantizerSettings


def expand(settings: QuantizerSettings, z: Tensor) -> Tensor:
    """Return z [B, d, h, w] on the grid of the stored indices: interpolated x beta unless the mode is `smooth`."""
    return _upsample(z, settings.beta) if settings.grid_factor > 1 else z


def decode(settings: QuantizerSettings, codebook: Tensor, indices: Tensor) -> Tensor:
    """Return z_q float32 [B, d, h, w] for indices int64 [B, P, h', w'] and a codebook of settings.codebook_shape."""
    z_q = _decode_grid(settings, codebook, indices)
    if settings.beta == 1:
        return z_q
    # The decoder has one index of beta^2: it interpolates what that says, and quantizes again.
    if settings.mode == "smooth":
        with torch.no_grad():
            again = encode_grid(settings, codebook, _upsample(z_q, settings.beta))
        z_q = _decode_grid(settings, codebook, again)
    return F.avg_pool2d(z_q, settings.beta)


def encode_grid(settings: QuantizerSettings, codebook: Tensor, z: Tensor, bits: Tensor | None = None) -> Tensor:
    """Return indices int64 [B, P, h', w'] for z [B, d, h', w'] that expand() gave.

    With `bits` [P, K] or [B, P, K] the indices are those of the least ||z - c||^2 + RATE_WEIGHT * bits.
    """
    batch, _, h, w = z.shape
    x = z.reshape(batch, settings.m, settings.d_star, h * w).transpose(2, 3)
    x = matching.prepare(x, settings.match, settings.levels)
    penalty = None if bits is None else (RATE_WEIGHT * bits).expand(batch, settings.planes, -1)
    # Rate-aware costs are squared errors, so with `bits` the codevectors themselves are compared, whatever `match` is.
    keys = matching.candidates(codebook, settings.match) if bits is None else codebook
    if settings.layout == "stages":
        indices = _assign_stages(x, codebook, keys, penalty, settings.depth)
    elif settings.has_own_codebooks:
        parts = [_assign_units(x[:, u : u + 1], keys[u], _select(penalty, u, u + 1))[1] for u in range(settings.m)]
        indices = torch.cat(parts, 1)
    else:
        indices = _assign_shared(settings, x, keys, penalty)
    return indices.reshape(batch, settings.planes, h, w)


def _assign_shared(settings: QuantizerSettings, x: Tensor, keys: Tensor, penalty: Tensor | None) -> Tensor:
    wide = settings.wide
    fine = _assign_units(x[:, wide:], keys, _select(penalty, 2 * wide, None))[1]
    if not wide:
        return fine
    coarse, fine_wide = _assign_wide(x[:, :wide], keys, _select(penalty, 0, 2 * wide), settings.scale)
    return torch.cat([coarse, fine_wide, fine], 1)


def _assign_wide(x: Tensor, codebook: Tensor, penalty: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
    """Choose coarse and fine indices [B, wide, N] together, among two coarse candidates."""
    wide = x.shape[1]
    penalty_coarse, penalty_fine = _select(penalty, 0, wide), _select(penalty, wide, 2 * wide)
    best_cost = torch.full(x.shape[:3], torch.inf, device=x.device)
    best_coarse = torch.zeros(x.shape[:3], dtype=torch.int64, device=x.device)
    best_fine = best_coarse.clone()
    # Two candidates and not K: nearly all units take zero, and of the others the nearest is the cheapest but for ties
    # that the fine index makes up for.
    for coarse in _coarse_candidates(x / scale, codebook):
        cost, fine = _assign_units(x - scale * codebook[coarse], codebook, penalty_fine)
        if penalty_coarse is not None:
            cost = cost + penalty_coarse.gather(2, coarse)
        better = cost < best_cost
        best_cost = torch.where(better, cost, best_cost)
        best_coarse = torch.where(better, coarse, best_coarse)
        best_fine = torch.where(better, fine, best_fine)
    return best_coarse, best_fine


def _coarse_candidates(x: Tensor, codebook: Tensor) -> list[Tensor]:
    """Return the codevector nearest to zero, which is almost always the cheapest, and the one nearest to x."""
    zero = int(codebook.square().sum(1).argmin())
    return [torch.full(x.shape[:3], zero, device=x.device), _assign_units(x, codebook, None)[1]]


def _assign_stages(x: Tensor, codebook: Tensor, keys: Tensor, penalty: Tensor | None, depth: int) -> Tensor:
    """Return [B, depth, N]: each stage takes the best key of what the codevectors of the earlier ones left."""
    indices: list[Tensor] = []
    for stage in range(depth):
        if stage:
            # Greedy, as published: the best sum over all stages would take a search among K^depth.
            x = x - _look_up(codebook, indices[-1])
        indices.append(_assign_units(x, keys, _select(penalty, stage, stage + 1))[1])
    return torch.cat(indices, 1)


def _decode_grid(settings: QuantizerSettings, codebook: Tensor, indices: Tensor) -> Tensor:
    batch, _, h, w = indices.shape
    wide = settings.wide
    if settings.layout == "stages":
        units = _look_up(codebook, indices[:, :1])
        for stage in range(1, settings.depth):
            units = units + _look_up(codebook, indices[:, stage : stage + 1])
    elif settings.has_own_codebooks:
        offset = settings.K * torch.arange(settings.m, device=indices.device)[:, None, None]
        units = _look_up(codebook.flatten(0, 1), indices + offset)
    else:
        units = _look_up(codebook, indices[:, wide:])
        if wide:
            coarse = settings.scale * _look_up(codebook, indices[:, :wide])
            units = torch.cat([units[:, :wide] + coarse, units[:, wide:]], 1)
    return units.permute(0, 1, 4, 2, 3).reshape(batch, settings.d, h, w)


def _look_up(codebook: Tensor, indices: Tensor) -> Tensor:
    # The gradient of index_select is many times faster than that of F.embedding where vectors are short.
    return codebook.index_select(0, indices.flatten()).view(*indices.shape, -1)


def _upsample(z: Tensor, beta: int) -> Tensor:
    return F.interpolate(z, scale_factor=beta, mode="bilinear", align_corners=False)


def _select(penalty: Tensor | None, start: int, stop: int | None) -> Tensor | None:
    return None if penalty is None else penalty[:, start:stop]


def _assign_units(x: Tensor, codebook: Tensor, penalty: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return costs and indices [B, units, N] for x [B, units, N, d_star] and penalty [B, units, K]."""
    batch, units, count, d_star = x.shape
    if penalty is not None:
        penalty = penalty.reshape(batch * units, len(codebook))
    cost, index = assign(x.reshape(batch * units, count, d_star), codebook, penalty)
    return cost.reshape(batch, units, count), index.reshape(batch, units, count)
