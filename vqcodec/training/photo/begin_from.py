"""Starting a run from the networks of a model: to train it further, or on other pictures."""

from __future__ import annotations

import torch

from vqcodec.errors import SettingsError
from vqcodec.exact import model_file
from vqcodec.exact.model_file import Arrays, Metadata
from vqcodec.exact.priors.context import PREFIX as CONTEXT_PREFIX
from vqcodec.training.begin_from import start_network
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.photo.tilt import tilt_gains
from vqcodec.training.rate.context_net import ContextNet
from vqcodec.training.rate.context_tensors import float_parent
from vqcodec.training.rate.pair_tables import written_tables


def start_from(state: TrainingState, model: str) -> None:
    """Take over the weights of a model, named or by path; those of its context prior if the run has such a prior.

    With a context prior its codebook and tables are kept too; without one they, and the density, are made anew. The
    settings may tilt the gains. SettingsError where networks or codebooks differ.
    """
    metadata, arrays = start_network(state.network, model)
    if metadata.context is not None and state.context is not None:
        _start_context(state, metadata, arrays)
    tilt_gains(state.network, state.context if state.context_is_trained else None, state.settings.tilt)


def _shape(net: ContextNet) -> tuple[object, ...]:
    return net.sizes, net.patterns, net.rows, net.embed, net.hidden


def _start_context(state: TrainingState, metadata: Metadata, arrays: Arrays) -> None:
    assert state.context is not None and metadata.context is not None
    tensors = model_file.tensors_under(CONTEXT_PREFIX, arrays)
    parent = float_parent(metadata.context, tensors)
    shape, wanted = _shape(parent), _shape(state.context)
    if shape != wanted:
        raise SettingsError(
            f"the model's context prior has groups, patterns, rows and widths {shape}, this run has {wanted}"
        )
    mine, its = state.quantizer.settings.as_dict(), metadata.quantizer
    if mine != its:
        changed = ", ".join(f"{key}={its.get(key)}" for key in mine if mine[key] != its.get(key))
        raise SettingsError(f"the model's context prior is for {changed}; set these as it has them")
    state.context.load_state_dict(parent.state_dict())
    with torch.no_grad():
        state.quantizer.codebook.copy_(torch.from_numpy(arrays["codebook"]))
    state.set_pairs(written_tables(tensors))
    state.context_is_trained = True
