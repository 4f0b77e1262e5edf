"""Which frequency table codes which index: priors in integer arithmetic, without torch.

What every prior has, so that nobody needs to ask which one it is:

kind                                    its name in headers of files
K, planes                               codevectors, and index planes P
free_classes                            how many position classes an encoder chooses among, 0 where it has no choice
encode(indices, classes, quality)       the rANS bytes of a tile
decode(data, grid, quality)             the Choice that a tile's bytes hold
follow(indices, classes, quality)       the Choice that indices from elsewhere stand for
sample(noise, grid, quality)            a Choice drawn from the distribution that the tables are of
index_bits, bits(indices, classes, quality)   what each index costs; what all classes and all indices cost

quality is 1..100, grid the height and width of a tile in latents. A new prior joins the union `Prior`, gets a number in
bitstream/header.py and a maker in model_file.py; its encoder is listed in encoder/__init__.py.
"""

from vqcodec.exact.priors.context import ContextPrior
from vqcodec.exact.priors.static import StaticPrior

__all__ = ["ContextPrior", "Prior", "StaticPrior"]

Prior = StaticPrior | ContextPrior
