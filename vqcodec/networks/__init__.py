"""Pairs of analysis and synthesis, one file for each."""

from __future__ import annotations

from typing import Any

from vqcodec.errors import ModelError
from vqcodec.networks.base import Network
from vqcodec.networks.photo import PhotoNetwork
from vqcodec.networks.vqgan import VqganNetwork
from vqcodec.networks.vqvae import VqvaeNetwork

__all__ = ["NETWORKS", "Network", "PhotoNetwork", "VqganNetwork", "VqvaeNetwork", "build"]

NETWORKS: dict[str, type[Network]] = {"photo": PhotoNetwork, "vqvae": VqvaeNetwork, "vqgan": VqganNetwork}


def build(settings: dict[str, Any]) -> Network:
    """Return the network that a model's settings {"name": ..., ...} describe, as Network.settings gives them."""
    name = settings.get("name")
    if name not in NETWORKS:
        raise ModelError(f"network {name!r} is unknown to this vqc; update vqc")
    return NETWORKS[name](**{key: value for key, value in settings.items() if key != "name"})
