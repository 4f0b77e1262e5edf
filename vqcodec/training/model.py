"""A model from a run: its weights, its codebook, and what it says of itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from vqcodec.exact.model_file import NETWORK_PREFIX, Arrays, Metadata, fingerprint
from vqcodec.training.provenance import Made, facts


def model_of(state: Made, codebook: Tensor, tables: Arrays, **said: Any) -> tuple[Metadata, Arrays]:
    """Return the model of a run as it stands; `said` are further fields of its Metadata."""
    # Half precision: the networks need no more, and a model is half as large.
    weights = {NETWORK_PREFIX + name: value.half() for name, value in state.network.state_dict().items()}
    tensors = weights | {"codebook": codebook.detach().float()}
    arrays = tables | {name: value.cpu().numpy() for name, value in tensors.items()}
    said = {"training": facts(state)} | said
    return named(Metadata(state.settings.name, state.network.settings(), state.network.stride, **said), arrays)


def named(metadata: Metadata, arrays: Arrays) -> tuple[Metadata, Arrays]:
    """Return a model with the fingerprint of what it holds."""
    return replace(metadata, fingerprint=fingerprint(metadata, arrays)), arrays
