"""The context prior's codebook, scales and tables, from the pictures."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vqcodec.exact.priors.static import row_quality
from vqcodec.training.photo.refined import code_refined
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.pictures.picture_set import PictureSet
from vqcodec.training.rate.context_net import ContextNet, FloatGroupNet
from vqcodec.training.rate.pair_tables import PairTables, hexagonal_codebook, logistic_tables

_FIT_ROUNDS, _FIT_ROWS, _FIT_BATCH = 2, 12, 4
_UNIT_CROPS = 64
_RIDGE = 1e-3
# A group of which less than one latent in a thousand would be anything but zero is not worth the time of coding it.
_MATTERS, _CODED_SHARE = 0.8, 0.001


@torch.no_grad()
def start_context(state: TrainingState, pictures: PictureSet) -> None:
    """Set codebook, scales and first tables of a new context prior, which then predicts what a static prior would."""
    assert state.context is not None
    if state.context_is_trained:
        return
    codebook = hexagonal_codebook(state.quantizer.K, state.settings.lattice_spacing)
    state.quantizer.codebook.copy_(codebook)
    state.set_pairs(logistic_tables(codebook, state.quantizer.settings.scale))
    rows, network = state.context.rows, state.network
    qualities = torch.tensor([row_quality(row, rows) for row in range(rows)], device=state.device)
    middle = qualities[rows // 2 : rows // 2 + 1]
    generator = np.random.default_rng((state.settings.seed, 3))
    x = pictures.crops(generator, _UNIT_CROPS, state.settings.crop, state.settings.augmentation)
    parts = [network.analysis(part, middle.expand(len(part))) for part in torch.chunk(x, 8)]
    z = torch.cat(parts)
    deviation = z.movedim(1, 0).flatten(1).square().mean(1).sqrt()
    gains = network.gain(qualities)[:, :, 0, 0] / network.gain(middle)[:, :, 0, 0]
    state.context.set_unit(deviation * gains, _fit_linear(state.context, z, rows // 2) / deviation)
    state.context.starts.copy_(_starts(state.context, z, gains))


def _fit_linear(net: ContextNet, z: Tensor, row: int) -> Tensor:
    """Set linear predictions to the best for latents z [B, d, h, w]; return the deviations [d] that they leave."""
    batch, d, height, width = z.shape
    flat = z.movedim(1, 3).reshape(batch, height * width, d)
    left = torch.zeros(d, dtype=torch.float64, device=z.device)
    walk = net.begin(batch, height, width, torch.full((batch,), row, device=z.device))
    for number, phase, channels, places in walk.passes():
        group: FloatGroupNet = net.nets[number]  # type: ignore[assignment]
        y = flat[:, places, channels].reshape(-1, group.n)
        error = y.double()
        if (weights := group.linear_of(phase)) is not None:
            near = walk.neighbours(number, phase, places).filled
            ridge = _RIDGE * near.square().sum() / near.shape[1] * torch.eye(near.shape[1], device=z.device)
            # What is not known for sure stays at the mean of the neighbours, which the weights start as.
            change = torch.linalg.solve(near.T @ near + ridge, near.T @ (error - near @ weights[0].double()))
            weights[0].add_(change.float())
            error = error - near @ weights[0].double()
        left[channels] += error.square().sum(0)
        walk.put(channels, places, y)
    return (left / (batch * height * width)).sqrt().float()


def _starts(net: ContextNet, z: Tensor, gains: Tensor) -> Tensor:
    """Return for each group the first row of gains [rows, d] at which enough of its latents z [B, d, h, w] matter."""
    parts, starts = torch.split(z.movedim(1, 0).flatten(1).abs(), list(net.sizes)), []
    for part, gain in zip(parts, torch.split(gains, list(net.sizes), 1), strict=True):
        shares = torch.stack([(part * row[:, None] > _MATTERS).float().mean() for row in gain])
        starts.append(int((shares < _CODED_SHARE).sum()))
    return torch.tensor(starts)


@torch.no_grad()
def fit_pairs(state: TrainingState, pictures: PictureSet, crops: int) -> PairTables:
    """Return tables counted on what the encoder does to `crops` crops at each of some qualities, in a few rounds."""
    assert state.context is not None and state.pairs is not None
    codebook, scale = state.quantizer.codebook.detach(), state.quantizer.settings.scale
    pairs = state.pairs
    batches = [(row, n) for row in range(_FIT_ROWS) for n in range(0, crops, _FIT_BATCH)]
    for _ in range(_FIT_ROUNDS):
        assigner = pairs.assigner(codebook, scale)
        counts = torch.zeros(pairs.probabilities.shape, device=state.device)
        for row, n in tqdm(batches, desc="fitting tables", unit="batch", leave=False, disable=None):
            crop_count = min(_FIT_BATCH, crops - n)
            x, quality = _crops(state, pictures, row_quality(row, _FIT_ROWS), (row, n), crop_count)
            code_refined(state, assigner, x, quality, counts)
        pairs = pairs.counted(counts, codebook, scale)
    return pairs


def _crops(
    state: TrainingState, pictures: PictureSet, quality: float, key: tuple[int, int], count: int
) -> tuple[Tensor, Tensor]:
    """Return random crops [count, 3, H, W], the same for the same key, and their qualities [count]."""
    generator = np.random.default_rng((state.settings.seed, 4, *key))
    x = pictures.crops(generator, count, state.settings.crop, state.settings.augmentation)
    return x, torch.full((count,), round(2 * quality) / 2, device=x.device)
