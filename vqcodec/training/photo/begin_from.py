"""Starting a run from the networks of a model: to train it further, or on other pictures."""

from __future__ import annotations

from vqcodec.training.begin_from import start_network
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.photo.tilt import tilt_gains


def start_from(state: TrainingState, model: str) -> None:
    """Take over the weights of a model, named or by path; those of its context prior if the run has such a prior.

    With a context prior its codebook and tables are kept too; without one they, and the density, are made anew. The
    settings may tilt the gains. SettingsError where networks or codebooks differ.
    """
    state.rate.take_over(*start_network(state.network, model))
    if state.settings.tilt:
        tilt_gains(state.network, state.rate.trained, state.settings.tilt)
        state.rate.unsettle()
