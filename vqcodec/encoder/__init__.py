"""From latents to indices: what an encoder is free to choose.

The decoder is the same whatever is chosen here. An index is taken where squared error plus the
weighted bits of the prior's own tables is least, not where the codevector is nearest.

choice.py     the contract: choose, seek, latents, influence, bits
context.py    under the context prior     by_table.py   the choice where every unit has a frequency table
static.py     under the static prior      proximal.py   latents moved until bits and error together are least

Only the static prior's needs torch, with a quantizer of any layout, so it is imported by those who have one.
"""

from vqcodec.encoder.choice import Encoder, Latents
from vqcodec.encoder.context import ContextEncoder

__all__ = ["ContextEncoder", "Encoder", "Latents"]
