"""LPIPS of torchmetrics, for machines that have torchvision and its weights of AlexNet.

Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric".
"""

from __future__ import annotations

import pickle
from typing import Any

from torch import Tensor, nn

from vqcodec.errors import SettingsError

_FILE = "alexnet-owt-7be5be79.pth"


class Lpips(nn.Module):
    """LPIPS with AlexNet; sides of at least 64."""

    def __init__(self) -> None:
        super().__init__()
        self.net: Any = _load().requires_grad_(False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scalar for originals x and reconstructions y float32 [B, 3, H, W]."""
        mean: Tensor = self.net(y, x, normalize=True).mean()
        return mean


def _load() -> nn.Module:
    """Return torchmetrics' network, of which the metric itself would detach what it computes."""
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        network: nn.Module = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True).net
    except (ImportError, OSError, RuntimeError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SettingsError(
            f"the loss lpips cannot be loaded ({reason}); it needs pip install 'vqcodec[perceptual]' and, in the "
            f"folder checkpoints of torch's hub cache, {_FILE}, which is fetched from download.pytorch.org"
        ) from error
    return network
