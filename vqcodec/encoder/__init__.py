"""From latents to indices: what an encoder is free to choose.

The decoder is the same whatever is chosen here. An index is taken where squared error plus the
weighted bits of the prior's own tables is least, not where the codevector is nearest.

choice.py     the contract: choose, latents, bits
static.py     under the static prior      by_table.py   the choice where every unit has a frequency table
context.py    under the context prior     proximal.py   latents moved until bits and error together are least
"""

from __future__ import annotations

from vqcodec.encoder.choice import Encoder
from vqcodec.encoder.context import ContextEncoder
from vqcodec.encoder.static import StaticEncoder
from vqcodec.exact.priors import ContextPrior, Prior, StaticPrior
from vqcodec.quantizers.base import Quantizer

__all__ = ["ContextEncoder", "Encoder", "StaticEncoder", "encoder_for"]


_ENCODERS: dict[str, type[Encoder]] = {StaticPrior.kind: StaticEncoder, ContextPrior.kind: ContextEncoder}


def encoder_for(prior: Prior, quantizer: Quantizer) -> Encoder:
    """Return the choice of indices under a prior."""
    return _ENCODERS[prior.kind](prior, quantizer)
