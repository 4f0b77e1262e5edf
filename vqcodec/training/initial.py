"""Starting a run from the networks of a model: to train it further, or on other pictures."""

from __future__ import annotations

import torch

from vqcodec import model_file
from vqcodec.errors import SettingsError
from vqcodec.model_file import NETWORK_PREFIX
from vqcodec.networks.context_tensors import float_parent
from vqcodec.priors.context import PREFIX as CONTEXT_PREFIX
from vqcodec.training.state import TrainingState
from vqcodec.training.tilt import tilt_gains


def start_from(state: TrainingState, model: str) -> None:
    """Take over the weights of a model, named or by path; those of its context prior if the run has such a prior.

    The codebook, the tables and the density are made anew; the settings may tilt the gains. SettingsError where the
    networks differ.
    """
    metadata, arrays = model_file.load(model_file.resolve(model))
    wanted = state.network.settings()
    if metadata.network != wanted:
        raise SettingsError(f"the model {model} has the network {metadata.network}, this run {wanted}; set d and width")
    weights = model_file.tensors_under(NETWORK_PREFIX, arrays)
    names = state.network.state_dict()
    state.network.load_state_dict({name: torch.from_numpy(weights[name]).float() for name in names})
    if metadata.context is not None and state.context is not None:
        _start_context(state, metadata.context, arrays)
    tilt_gains(state.network, state.context if state.context_is_trained else None, state.settings.tilt)


def _start_context(state: TrainingState, settings: dict[str, object], arrays: model_file.Arrays) -> None:
    assert state.context is not None
    parent = float_parent(settings, model_file.tensors_under(CONTEXT_PREFIX, arrays))
    shape = (parent.groups, parent.rows, parent.embed, parent.hidden)
    wanted = (state.context.groups, state.context.rows, state.context.embed, state.context.hidden)
    if shape != wanted:
        raise SettingsError(f"the model's context prior has groups, rows and widths {shape}, this run has {wanted}")
    state.context.load_state_dict(parent.state_dict())
    state.context_is_trained = True
