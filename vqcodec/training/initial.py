"""Starting a run from the networks of a model: to train it further, or on other pictures."""

from __future__ import annotations

from typing import Any

import torch

from vqcodec import model_file
from vqcodec.errors import SettingsError
from vqcodec.model_file import NETWORK_PREFIX, Arrays, Metadata
from vqcodec.networks.base import Network
from vqcodec.networks.context import ContextNet
from vqcodec.networks.context_tensors import float_parent
from vqcodec.priors.context import PREFIX as CONTEXT_PREFIX
from vqcodec.training.pair_tables import written_tables
from vqcodec.training.state import TrainingState
from vqcodec.training.tilt import tilt_gains


def start_from(state: TrainingState, model: str) -> None:
    """Take over the weights of a model, named or by path; those of its context prior if the run has such a prior.

    With a context prior its codebook and tables are kept too; without one they, and the density, are made anew. The
    settings may tilt the gains. SettingsError where networks or codebooks differ.
    """
    metadata, arrays = start_network(state.network, model)
    if metadata.context is not None and state.context is not None:
        _start_context(state, metadata, arrays)
    tilt_gains(state.network, state.context if state.context_is_trained else None, state.settings.tilt)


def start_network(network: Network, model: str) -> tuple[Metadata, Arrays]:
    """Let a network take over the weights of a model, named or by path, which is returned; SettingsError as above."""
    metadata, arrays = model_file.load(model_file.resolve(model))
    _check_network(model, metadata.network, network.settings())
    weights = model_file.tensors_under(NETWORK_PREFIX, arrays)
    network.load_state_dict({name: torch.from_numpy(weights[name]).float() for name in network.state_dict()})
    return metadata, arrays


def _check_network(model: str, its: dict[str, Any], mine: dict[str, Any]) -> None:
    """Raise SettingsError where the network of a model differs from a run's, with what differs."""
    if its["name"] != mine["name"]:
        raise SettingsError(f"the model {model} has the network {its['name']}, this run {mine['name']}; set network")
    differing = [key for key in mine if its.get(key) != mine[key]]
    if differing:
        has, want = (", ".join(f"{key}={values.get(key)}" for key in differing) for values in (its, mine))
        raise SettingsError(f"the network of the model {model} has {has}, this run {want}; set {', '.join(differing)}")


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
