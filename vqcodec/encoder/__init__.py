"""From latents to indices: what an encoder is free to choose.

The decoder is the same whatever is chosen here. An index is taken where squared error plus the
weighted bits of the prior's own tables is least, not where the codevector is nearest.

static.py     under the static prior      by_table.py   the choice where every unit has a frequency table
context.py    under the context prior     proximal.py   latents moved until bits and error together are least
"""
