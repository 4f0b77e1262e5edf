"""From a trained autoencoder to a model that compresses real files: its table, and frequencies of its indices."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from vqcodec.exact.model_file import Arrays, Metadata
from vqcodec.exact.priors.static import StaticPrior
from vqcodec.quantizers import Quantizer
from vqcodec.training.model import model_of
from vqcodec.training.papers.loop import Autoencoder
from vqcodec.training.rate import frequencies

# K tables of K frequencies would be most of a model.
_PAIR_TABLES = 256


def export(state: Autoencoder, pictures: Iterable[Tensor]) -> tuple[Metadata, Arrays]:
    """Return the model as it stands, its tables counted on batches of training pictures [B, 3, H, W] in [0, 1]."""
    state.network.eval()
    state.quantizer.eval()
    return model_of(
        state,
        state.quantizer.codevectors(),
        _fit(state, pictures).arrays(),
        quantizer=state.quantizer.settings.as_dict(),
        table_bits=state.settings.table_bits,
        own_codebooks=state.quantizer.settings.has_own_codebooks,
    )


@torch.no_grad()
def _fit(state: Autoencoder, pictures: Iterable[Tensor]) -> StaticPrior:
    settings = state.quantizer.settings
    counts = np.zeros((settings.planes, settings.K), np.float64)
    pairs = np.zeros((settings.K, settings.K), np.float64) if settings.mode == "conditional" else None
    for x in tqdm(pictures, desc="counting indices", unit="batch", leave=False, disable=None):
        indices = state.quantizer.encode(state.analyze(x.to(state.device))).cpu().numpy()
        _count(state.quantizer, indices, counts, pairs)
    planes = frequencies.smooth(counts, counts.sum(axis=0, keepdims=True))
    maps = np.arange(settings.planes, dtype=np.uint16)[None, None]
    if pairs is None:
        return StaticPrior(state.settings.table_bits, settings.grid_factor, _integers(state, planes), maps)
    shared, numbers = frequencies.cluster(frequencies.smooth(pairs, counts.sum(axis=0, keepdims=True)), _PAIR_TABLES)
    merged = _integers(state, np.concatenate([planes, shared]))
    conditional = (numbers + len(planes)).astype(np.uint16)
    return StaticPrior(state.settings.table_bits, settings.grid_factor, merged, maps, conditional)


def _integers(state: Autoencoder, probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.uint32]:
    return frequencies.frequency_tables(probabilities, state.settings.table_bits)


def _count(
    quantizer: Quantizer,
    indices: npt.NDArray[np.int64],
    counts: npt.NDArray[np.float64],
    pairs: npt.NDArray[np.float64] | None,
) -> None:
    """Add indices [B, P, h', w'] to counts [P, K]; where neighbors are coded given the base index, to pairs [K, K]."""
    K, factor, base = quantizer.K, quantizer.settings.grid_factor, indices
    if pairs is not None:
        base = indices[:, :, ::factor, ::factor]
        given = base.repeat(factor, 2).repeat(factor, 3)
        pairs += np.bincount((given * K + indices).reshape(-1), minlength=K * K).reshape(K, K)
    place = np.arange(len(counts))[:, None, None] * K + base
    counts += np.bincount(place.reshape(-1), minlength=counts.size).reshape(counts.shape)
