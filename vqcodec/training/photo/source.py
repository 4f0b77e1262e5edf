"""What the rate of a run is fitted on: its pictures, as its encoder sends them."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from vqcodec.training.photo.refined import refined
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.pictures.picture_set import PictureSet
from vqcodec.training.rate.contract import Quantize, Refine, Source


def refine_of(state: TrainingState) -> Refine:
    """Return the encoder's proximal steps, as many as the run has."""
    return partial(refined, state.network, steps=state.settings.refine_steps)


def unrefined(x: Tensor, z: Tensor, quality: Tensor, quantize: Quantize) -> Tensor:
    """Return the latents of the analysis as they are, a Refine without steps."""
    return z


def source_of(state: TrainingState, pictures: PictureSet, count: int) -> Source:
    """Return the source of `count` crops at a time."""
    settings = state.settings
    place = (settings.seed, settings.crop, settings.augmentation)
    return Source(state.network, pictures, *place, count, refine_of(state))
