"""What the rate of a run is fitted on: its pictures, as its encoder sends them."""

from __future__ import annotations

from functools import partial

from vqcodec.training.photo.refined import refined
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.pictures.picture_set import PictureSet
from vqcodec.training.rate.contract import Refine, Source

_FEWEST_CROPS = 4
# A crop takes about as long in a step as in the fit of a row; so a fit is a small part of the run.
_SEEN_FOR_ONE = 4


def refine_of(state: TrainingState, plain: bool = False) -> Refine:
    """Return the encoder's proximal steps, as many as the run has; none of them for plain latents."""
    return partial(refined, state.network, steps=0 if plain else state.settings.refine_steps)


def in_proportion(state: TrainingState, most: int) -> int:
    """Return how many crops a row of tables is fitted on: at most `most`, few after few steps.

    Else three steps would be followed by half an hour of fitting.
    """
    seen = state.settings.batch * state.progress.step
    return min(most, max(_FEWEST_CROPS, seen // (_SEEN_FOR_ONE * state.settings.table_rows)))


def source_of(state: TrainingState, pictures: PictureSet, count: int) -> Source:
    """Return the source of `count` crops at a time."""
    settings = state.settings
    place = (settings.seed, settings.crop, settings.augmentation)
    return Source(state.network, pictures, *place, count, refine_of(state))
