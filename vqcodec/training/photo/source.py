"""What the rate of a run is fitted on: its pictures, as its encoder sends them."""

from __future__ import annotations

from functools import partial

from vqcodec.training.photo.refined import refined
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.pictures.picture_set import PictureSet
from vqcodec.training.rate.contract import Refine, Source


def refine_of(state: TrainingState, plain: bool = False) -> Refine:
    """Return the encoder's proximal steps, as many as the run has; none of them for plain latents."""
    return partial(refined, state.network, steps=0 if plain else state.settings.refine_steps)


def source_of(state: TrainingState, pictures: PictureSet, count: int) -> Source:
    """Return the source of `count` crops at a time."""
    settings = state.settings
    place = (settings.seed, settings.crop, settings.augmentation)
    return Source(state.network, pictures, *place, count, refine_of(state))
