"""A model with another synthesis: all that decoding to indices depends on stays as it was."""

from __future__ import annotations

from dataclasses import replace

from vqcodec.exact.model_file import NETWORK_PREFIX, Arrays, Metadata
from vqcodec.training.looks.loop import Perceptual
from vqcodec.training.model import named
from vqcodec.training.provenance import facts


def export(state: Perceptual) -> tuple[Metadata, Arrays]:
    """Return the model that the run started from with the averaged weights of its synthesis."""
    learned = {NETWORK_PREFIX + name: value.half().cpu().numpy() for name, value in state.average.items()}
    arrays = state.arrays | learned
    training = facts(state) | {"init": state.metadata.fingerprint}
    metadata = replace(state.metadata, name=state.settings.name, training=training, proximal=state.has_proximal_steps)
    return named(metadata, arrays)
