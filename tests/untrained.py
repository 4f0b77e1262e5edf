"""A codec of a network as it is before training, with a random codebook and random tables."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from tiny import picture

from vqcodec.codec import Codec
from vqcodec.exact import model_file
from vqcodec.exact.model_file import Metadata
from vqcodec.networks import Network

sys.path.insert(0, str(Path(__file__).parent.parent / "bitstream"))
random_models: Any = import_module("random_models")


def untrained(network: Network, K: int = 32, m: int = 2) -> Codec:
    """A codec of this network: m units of one codebook, whose codevectors are units of a picture's latents."""
    quantizer = random_models.quantizer(K, m, network.d // m)
    plan = random_models.ModelPlan("untrained", quantizer, table_bits=16, tables=6, rows=2, classes=3)
    base = Metadata("untrained", network.settings(), network.stride, quantizer, 16)
    metadata, arrays = random_models.make_model(plan, base)
    arrays |= {model_file.NETWORK_PREFIX + name: value.numpy() for name, value in network.state_dict().items()}
    x = torch.from_numpy(picture(128, 128, seed=7)).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        units = network.analysis(x, torch.tensor([50.0])).reshape(m, network.d // m, -1).mT.flatten(0, 1)
    arrays["codebook"] = units[torch.randperm(len(units))[:K]].numpy()
    return Codec(replace(metadata, fingerprint=model_file.fingerprint(metadata, arrays)), arrays)
