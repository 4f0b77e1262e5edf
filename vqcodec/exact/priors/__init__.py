"""Which frequency table codes which index: priors in integer arithmetic, without torch."""

from vqcodec.exact.priors.context import ContextPrior
from vqcodec.exact.priors.static import StaticPrior

__all__ = ["ContextPrior", "Prior", "StaticPrior"]

Prior = StaticPrior | ContextPrior
