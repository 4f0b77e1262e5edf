"""Gradients of the quantizers' losses, written out so that a step makes few passes over the latents.

Shapes: z and z_q float32 [B, d, h, w], codebook [K, d], indices int64 [B, D, h, w].
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

# VQ-VAE's beta; the paper found results alike from 0.1 to 2.
COMMITMENT = 0.25
"""What VQ-VAE weighs the commitment of the latents with, beta in its equation 3."""
_CHUNK_VALUES = 1 << 18


def straight_through(z: Tensor, z_q: Tensor) -> Tensor:
    """Return z_q with the gradient passed to z as it is (VQ-VAE section 3.2)."""
    passed: Tensor = _StraightThrough.apply(z, z_q.detach())  # type: ignore[no-untyped-call]
    return passed


def codebook_loss(z: Tensor, z_q: Tensor, commitment: float) -> Tensor:
    """Return the mean of (z_q - sg z)^2 plus commitment * (z - sg z_q)^2 (VQ-VAE equation 3)."""
    loss: Tensor = _CodebookLoss.apply(z, z_q, commitment)  # type: ignore[no-untyped-call]
    return loss


def residual_loss(z: Tensor, codebook: Tensor, indices: Tensor, commitment: float) -> Tensor:
    """Return the mean over the D stages of codebook_loss(z, sum of the codevectors up to the stage).

    The second term is RQ-VAE's commitment loss (Lee et al. 2022, equation 7), the first the same for the codebook.
    """
    loss: Tensor = _ResidualLoss.apply(z, codebook, indices, commitment)  # type: ignore[no-untyped-call]
    return loss


def vector_sums(z: Tensor, indices: Tensor, K: int, d_star: int) -> Tensor:
    """Return float32 [K, d_star], for each codevector the sum of the units of z whose index [B, P, h, w] names it."""
    sums = z.new_zeros(K, d_star)
    for some in _chunks(z):
        units = z[some].reshape(-1, d_star, *z.shape[2:])
        sums.index_add_(0, indices[some].flatten(), _vectors(units))
    return sums


class _StraightThrough(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, z_q: Tensor) -> Tensor:
        """Return z_q."""
        return z_q.view_as(z_q)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient for z."""
        return gradient, None


class _CodebookLoss(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, z_q: Tensor, commitment: float) -> Tensor:
        """Return the loss; the difference is computed again for the gradients instead of being kept."""
        ctx.save_for_backward(z, z_q)
        ctx.commitment = commitment
        return (1 + commitment) * (z_q - z).square_().mean()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Return the gradients for z and z_q, as far as they are needed."""
        z, z_q = ctx.saved_tensors
        to_z_q = (z_q - z).mul_(2 / z.numel() * gradient)
        to_z = -ctx.commitment * to_z_q if ctx.needs_input_grad[0] else None
        return to_z, to_z_q if ctx.needs_input_grad[1] else None, None


class _ResidualLoss(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, codebook: Tensor, indices: Tensor, commitment: float) -> Tensor:
        """Return the loss; its gradients are computed on the way, while a chunk's stages are at hand."""
        to_z, to_codebook = torch.empty_like(z), torch.zeros_like(codebook)
        squares, scale = z.new_zeros(()), 2 / (indices.shape[1] * z.numel())
        for some in _chunks(z):
            stages = indices[some].transpose(0, 1).flatten(1)
            rests = _rests(_vectors(z[some]), codebook, stages)
            later = torch.zeros_like(rests[0])
            # A stage's codevectors are part of its own sum and of all later ones.
            for stage, rest in zip(stages.flip(0), reversed(rests), strict=True):
                squares += rest.square().sum()
                to_codebook.index_add_(0, stage, later.add_(rest), alpha=-scale)
            to_z[some] = later.mul_(commitment * scale).view(z[some].movedim(1, -1).shape).movedim(-1, 1)
        ctx.save_for_backward(to_z, to_codebook)
        return (1 + commitment) * scale / 2 * squares

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Return the gradients for z and the codebook."""
        to_z, to_codebook = ctx.saved_tensors
        return gradient * to_z, gradient * to_codebook, None, None


def _rests(x: Tensor, codebook: Tensor, stages: Tensor) -> list[Tensor]:
    """Return what each stage int64 [D, n] leaves of the vectors x [n, d]."""
    rests = []
    for stage in stages:
        x = x - codebook.index_select(0, stage)
        rests.append(x)
    return rests


def _chunks(z: Tensor) -> Iterator[slice]:
    """Yield slices of the batch that are small enough for a cache."""
    items = max(1, _CHUNK_VALUES // z[0].numel())
    for start in range(0, len(z), items):
        yield slice(start, start + items)


def _vectors(z: Tensor) -> Tensor:
    return z.movedim(1, -1).reshape(-1, z.shape[1])
