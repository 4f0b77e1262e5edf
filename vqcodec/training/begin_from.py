"""Starting a run from the network of a model."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from vqcodec.errors import SettingsError
from vqcodec.exact import model_file
from vqcodec.exact.model_file import NETWORK_PREFIX, Arrays, Metadata
from vqcodec.exact.priors.base import tensors_under
from vqcodec.networks.base import Network


def start_network(network: Network, model: str, free: Collection[str] = ()) -> tuple[Metadata, Arrays]:
    """Let a network take over the weights of a model, named or by path, which is returned.

    SettingsError where the settings of the networks differ. Lists that are `free` may, if they are as long.
    """
    metadata, arrays = model_file.load(model_file.resolve(model))
    _check_network(model, metadata.network, network.settings(), free)
    weights = tensors_under(NETWORK_PREFIX, arrays)
    network.load_state_dict({name: torch.from_numpy(weights[name]).float() for name in network.state_dict()})
    return metadata, arrays


def _check_network(model: str, its: dict[str, Any], mine: dict[str, Any], free: Collection[str]) -> None:
    """Raise SettingsError where the network of a model differs from a run's, with what differs."""
    if its["name"] != mine["name"]:
        raise SettingsError(f"the model {model} has the network {its['name']}, this run {mine['name']}; set network")
    as_long = [key for key in free if len(its[key]) == len(mine[key])]
    differing = [key for key in mine if key not in as_long and its.get(key) != mine[key]]
    if differing:
        has, want = (", ".join(f"{key}={values.get(key)}" for key in differing) for values in (its, mine))
        raise SettingsError(f"the network of the model {model} has {has}, this run {want}; set {', '.join(differing)}")
