"""Which frequency table codes which index: priors in integer arithmetic, without torch; base.py is their contract."""

from vqcodec.exact.priors.base import Prior
from vqcodec.exact.priors.context import ContextPrior
from vqcodec.exact.priors.static import StaticPrior

__all__ = ["PRIORS", "ContextPrior", "Prior", "StaticPrior"]

PRIORS: dict[str, type[Prior]] = {prior.kind: prior for prior in (StaticPrior, ContextPrior)}
