"""From a training state to a model that compresses real files."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vqcodec.exact.model_file import NETWORK_PREFIX, PRIOR_TENSORS, Arrays, Metadata, fingerprint
from vqcodec.exact.priors.context import PREFIX as CONTEXT_PREFIX
from vqcodec.exact.priors.integer_net import SIXTEENTHS
from vqcodec.exact.priors.static import StaticPrior, row_quality
from vqcodec.quantizers import Learned
from vqcodec.training.photo.context_fit import fit_pairs
from vqcodec.training.photo.state import NOISE, SYNTHESIS, TrainingState
from vqcodec.training.pictures.picture_set import PictureSet
from vqcodec.training.provenance import facts
from vqcodec.training.rate.context_tensors import context_settings, integer_tensors
from vqcodec.training.rate.lattice import initial_codebook
from vqcodec.training.rate.static_fit import Latents, PriorFitter

_SAMPLE_VECTORS = 1 << 18
_FIT_ROUNDS, _CODEBOOK_ROUNDS = 3, 5
_BATCH = 16


def collect_latents(state: TrainingState, pictures: PictureSet, crops: int, seed: int) -> Latents:
    """Return latents and classes of `crops` random crops at the quality of each table row."""
    rows = [row_latents(state, pictures, crops, seed, row) for row in range(state.settings.table_rows)]
    return Latents([z for z, _ in rows], [classes for _, classes in rows])


def row_latents(state: TrainingState, pictures: PictureSet, crops: int, seed: int, row: int) -> tuple[Tensor, Tensor]:
    """Return what collect_latents collects for one row: z float16 [crops, d, h, w], classes uint8 [crops, h, w]."""
    generator = np.random.default_rng((state.settings.seed, seed, row))
    quality = row_quality(row, state.settings.table_rows)
    was_training = state.network.training
    state.network.eval()
    parts = [_analyse(state, pictures, generator, n, quality) for n in _batches(crops)]
    state.network.train(was_training)
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


@torch.no_grad()
def _analyse(
    state: TrainingState, pictures: PictureSet, generator: np.random.Generator, count: int, quality: float
) -> tuple[Tensor, Tensor]:
    x = pictures.crops(generator, count, state.settings.crop, state.settings.augmentation)
    q = torch.full((count,), quality, device=x.device)
    z = state.network.analysis(x, q)
    return z.half(), state.density.classify(z, state.network.gain(q)).to(torch.uint8)


def _batches(count: int) -> list[int]:
    return [min(_BATCH, count - start) for start in range(0, count, _BATCH)]


def fit_prior(state: TrainingState, latents: Latents, quantizer: Learned, new_codebook: bool) -> StaticPrior:
    """Return tables for a quantizer; with `new_codebook` its codebook is made from the latents first."""
    settings = state.settings
    fitter = PriorFitter(quantizer, settings.table_rows, settings.classes, settings.table_count, settings.table_bits)
    if new_codebook:
        with torch.no_grad():
            quantizer.codebook.copy_(
                initial_codebook(_sample(latents, quantizer), quantizer.K, settings.lattice_spacing)
            )
    return fitter.fit(latents, _CODEBOOK_ROUNDS if new_codebook else _FIT_ROUNDS, new_codebook)


def _sample(latents: Latents, quantizer: Learned) -> Tensor:
    """Return unit vectors [N, d_star] of all rows; what exceeds a coarse cell is folded back into one."""
    parts = []
    for z in latents.z:
        units = quantizer.expand(z.float()).reshape(len(z), quantizer.m, quantizer.d_star, -1).transpose(2, 3)
        vectors = units.reshape(-1, quantizer.d_star)
        parts.append(vectors[:: max(1, len(vectors) * len(latents.z) // _SAMPLE_VECTORS)])
    sample = torch.cat(parts)
    if quantizer.settings.wide:
        scale = quantizer.settings.scale
        sample = torch.remainder(sample + scale, 2 * scale) - scale
    return sample


def export(state: TrainingState, pictures: PictureSet, fit_crops: int) -> tuple[Metadata, Arrays]:
    """Return the model as it stands; before the last stage tables are fitted to `fit_crops` crops a row first."""
    if state.context is None or state.progress.stage == NOISE:
        context = None
        codebook, arrays = _static_tensors(state, pictures, fit_crops)
    else:
        context, codebook, arrays = _context_tensors(state, pictures, fit_crops)
    weights = {NETWORK_PREFIX + name: value.half() for name, value in state.network.state_dict().items()}
    tensors = weights | {"codebook": codebook.detach().float()}
    arrays |= {name: value.cpu().numpy() for name, value in tensors.items()}
    metadata = Metadata(
        name=state.settings.name,
        network=state.network.settings(),
        stride=state.network.stride,
        quantizer=state.quantizer.settings.as_dict(),
        table_bits=state.settings.table_bits,
        context=context,
        training=facts(state) | {"pictures": len(pictures)},
        proximal=state.losses is None,
    )
    return replace(metadata, fingerprint=fingerprint(metadata, arrays)), arrays


def _static_tensors(state: TrainingState, pictures: PictureSet, fit_crops: int) -> tuple[Tensor, Arrays]:
    """Return the codebook and the tensors of a static prior."""
    quantizer, prior = state.quantizer, state.prior
    if prior is None or state.progress.stage != SYNTHESIS:
        quantizer = copy.deepcopy(quantizer)
        latents = collect_latents(state, pictures, fit_crops, 1)
        prior = fit_prior(state, latents, quantizer, new_codebook=state.progress.stage == NOISE)
    arrays = {name: getattr(prior, name) for name in PRIOR_TENSORS if getattr(prior, name) is not None}
    return quantizer.codebook, arrays


def _context_tensors(
    state: TrainingState, pictures: PictureSet, fit_crops: int
) -> tuple[dict[str, Any], Tensor, Arrays]:
    """Return the settings of the context prior, the codebook and the prior's tensors, rounded."""
    assert state.context is not None and state.pairs is not None
    net, was_integer, pairs = state.context, state.context.integer, state.pairs
    if state.progress.stage != SYNTHESIS:
        net.integer = True
        pairs = fit_pairs(state, pictures, fit_crops)
        net.integer = was_integer
    codebook = state.quantizer.codebook.detach()
    tensors = integer_tensors(net) | pairs.arrays(state.settings.table_bits)
    tensors["codebook16"] = (codebook * SIXTEENTHS).round().cpu().numpy().astype(np.int16)
    return context_settings(net), codebook, {CONTEXT_PREFIX + name: array for name, array in tensors.items()}
