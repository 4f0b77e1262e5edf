"""The optimizers of a run by rate and distortion."""

from __future__ import annotations

from typing import Any

import torch

from vqcodec.errors import SettingsError

NAMES = ("adam", "soap")
# The published value for both moments.
_SOAP_DECAY = 0.95
_SOAP_STEPS = 10
"""Steps between two looks at the eigenvectors, which cost about as much as a step."""
_SOAP_LARGEST = 512
"""Largest side of a weight that is turned: larger ones cost a third of a step, and the loss was higher with them."""


def build(name: str, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Return Adam or SOAP for groups of parameters with learning rates.

    SOAP (Vyas et al. 2024) is Adam in the eigenvectors of each weight's correlated gradients. SettingsError where
    its package is missing.
    """
    if name == "adam":
        return torch.optim.Adam(groups)
    try:
        from pytorch_optimizer import SOAP
    except ModuleNotFoundError as error:
        raise SettingsError("the optimizer soap needs pytorch-optimizer; pip install 'vqcodec[soap]'") from error
    return SOAP(
        groups,
        betas=(_SOAP_DECAY, _SOAP_DECAY),
        weight_decay=0.0,
        precondition_frequency=_SOAP_STEPS,
        max_precondition_dim=_SOAP_LARGEST,
    )
