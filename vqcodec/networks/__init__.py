"""Pairs of analysis and synthesis, one file for each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vqcodec.errors import ModelError, SettingsError
from vqcodec.networks.base import Network
from vqcodec.networks.photo import PhotoNetwork
from vqcodec.networks.rated import RatedNetwork
from vqcodec.networks.vqgan import VqganNetwork
from vqcodec.networks.vqvae import VqvaeNetwork

__all__ = [
    "NETWORKS", "Network", "PhotoNetwork", "RatedNetwork", "VqganNetwork", "VqvaeNetwork", "build", "check_weights",
    "rated",
]  # fmt: skip

NETWORKS: dict[str, type[Network]] = {"photo": PhotoNetwork, "vqvae": VqvaeNetwork, "vqgan": VqganNetwork}


def rated(name: str) -> type[RatedNetwork]:
    """Return a network of every rate by its name; SettingsError where there is no such one."""
    kinds = {known: kind for known, kind in NETWORKS.items() if issubclass(kind, RatedNetwork)}
    if name not in kinds:
        raise SettingsError(
            f"network {name!r} is not trained by rate and distortion; choose {' or '.join(kinds)}, or kind papers"
        )
    return kinds[name]


def build(settings: dict[str, Any]) -> Network:
    """Return the network that a model's settings {"name": ..., ...} describe, as Network.settings gives them."""
    name = settings.get("name")
    if name not in NETWORKS:
        raise ModelError(f"network {name!r} is unknown to this vqc; update vqc")
    return NETWORKS[name](**{key: value for key, value in settings.items() if key != "name"})


def check_weights(settings: dict[str, Any], weights: dict[str, Tensor]) -> None:
    """Raise ModelError where a network of these settings has other weights, before memory is asked for."""
    with torch.device("meta"):
        needed = {name: tensor.shape for name, tensor in build(settings).state_dict().items()}
    given = {name: tensor.shape for name, tensor in weights.items()}
    if needed != given:
        name = next(name for name in sorted(needed | given) if needed.get(name) != given.get(name))
        said, wanted = (list(shapes[name]) if name in shapes else "missing" for shapes in (given, needed))
        raise ModelError(f"the model's weights {name} are {said}, its settings need {wanted}; it is damaged")
