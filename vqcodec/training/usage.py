"""How evenly a codebook is used."""

from __future__ import annotations

import torch
from torch import Tensor


def usage_figures(usages: list[Tensor]) -> dict[str, float]:
    """Return the share of codevectors used and the perplexity of their use, for usages [K] of some batches."""
    if not usages:
        return {}
    mean = torch.stack(usages).mean(0)
    entropy = -(mean * (mean + 1e-12).log()).sum()
    return {"usage": round((mean > 0).float().mean().item(), 4), "perplexity": round(entropy.exp().item(), 2)}
