"""The context prior's codebook, scales and tables, from the pictures."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vqcodec.priors.static import row_quality
from vqcodec.training.data import PictureSet
from vqcodec.training.pair_tables import PairTables, hexagonal_codebook, logistic_tables
from vqcodec.training.refined import code_refined
from vqcodec.training.state import TrainingState

_FIT_ROUNDS, _FIT_ROWS, _FIT_BATCH = 2, 12, 4
_UNIT_CROPS = 64


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
    x = pictures.crops(generator, _UNIT_CROPS, state.settings.crop, state.settings.rescale_share)
    parts = [network.analysis(part, middle.expand(len(part))) for part in torch.chunk(x, 8)]
    deviation = torch.cat(parts).movedim(1, 0).flatten(1).square().mean(1).sqrt()
    gains = network.gain(qualities)[:, :, 0, 0] / network.gain(middle)[:, :, 0, 0]
    state.context.set_unit(deviation * gains)


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
    x = pictures.crops(generator, count, state.settings.crop, state.settings.rescale_share)
    return x, torch.full((count,), round(2 * quality) / 2, device=x.device)
