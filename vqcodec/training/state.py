"""What a training run consists of, apart from its pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vqcodec import quantizers
from vqcodec.model_file import PRIOR_TENSORS
from vqcodec.networks.photo import PhotoNetwork
from vqcodec.priors.static import StaticPrior
from vqcodec.quantizers import Quantizer
from vqcodec.training.density import ClassDensity
from vqcodec.training.settings import TrainingSettings

NOISE, QUANTISED, SYNTHESIS = "noise", "quantised", "synthesis"
STAGES = (NOISE, QUANTISED, SYNTHESIS)
_LINEAR = ("klt_analysis", "klt_synthesis")
_SYNTHESIS_PREFIXES = ("synthesis", "klt_synthesis")
_LINEAR_SHARE, _GAIN_SHARE, _DENSITY_SHARE, _CODEBOOK_SHARE = 0.05, 2.0, 4.0, 1.0


@dataclass
class Progress:
    """How far a run is: steps taken, seconds of training, the stage, and the log so far."""

    step: int = 0
    seconds: float = 0.0
    stage: str = NOISE
    log: list[dict[str, Any]] = field(default_factory=list)


class TrainingState:
    """Network, quantizer, density, optimizer and progress; everything that a checkpoint keeps."""

    def __init__(self, settings: TrainingSettings, device: torch.device) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.device = settings, device
        self.network = PhotoNetwork(settings.d, settings.widths()).to(device)
        self.network.bf16 = settings.bf16
        self.quantizer: Quantizer = quantizers.build(settings.quantizer_settings()).to(device)
        self.quantizer.online_clustering = settings.online_clustering
        self.density = ClassDensity(settings.d, settings.classes).to(device)
        self.prior: StaticPrior | None = None
        self.progress = Progress()
        self.optimizer = torch.optim.Adam(self._groups())
        self.base_rates = [float(group["lr"]) for group in self.optimizer.param_groups]

    def _groups(self) -> list[dict[str, Any]]:
        named, rate = dict(self.network.named_parameters()), self.settings.learning_rate
        rest = [p for name, p in named.items() if name not in _LINEAR and name != "log_gain"]
        return [
            {"params": rest, "lr": rate},
            {"params": [named[name] for name in _LINEAR], "lr": rate * _LINEAR_SHARE},
            {"params": [named["log_gain"]], "lr": rate * _GAIN_SHARE},
            {"params": list(self.density.parameters()), "lr": rate * _DENSITY_SHARE},
            {"params": [self.quantizer.codebook], "lr": rate * _CODEBOOK_SHARE},
        ]

    def enter(self, stage: str) -> None:
        """Start a stage; in the last one only the synthesis keeps learning."""
        self.progress.stage = stage
        frozen = stage == SYNTHESIS
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(not frozen or name.startswith(_SYNTHESIS_PREFIXES))
        self.density.requires_grad_(not frozen)
        self.quantizer.codebook.requires_grad_(not frozen)
        self.quantizer.train(not frozen)

    def random(self) -> tuple[np.random.Generator, torch.Generator]:
        """Return this step's own random generators, so that a resumed run draws what it would have drawn."""
        numbers = np.random.default_rng((self.settings.seed, self.progress.step))
        noise = torch.Generator(device=self.device)
        noise.manual_seed(int(numbers.integers(1 << 62)))
        return numbers, noise

    def state_dict(self) -> dict[str, Any]:
        """Return everything as tensors and plain values."""
        prior = {} if self.prior is None else _prior_tensors(self.prior)
        return {
            "settings": self.settings.as_dict(),
            "network": self.network.state_dict(),
            "quantizer": self.quantizer.state_dict(),
            "density": self.density.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "prior": prior,
            "progress": dict(vars(self.progress)),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.quantizer.load_state_dict(state["quantizer"])
        self.density.load_state_dict(state["density"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])
        if state["prior"]:
            arrays = {name: value.numpy() for name, value in state["prior"].items()}
            factor = self.quantizer.settings.grid_factor
            self.prior = StaticPrior(self.settings.table_bits, factor, **arrays)
        self.enter(self.progress.stage)


def _prior_tensors(prior: StaticPrior) -> dict[str, Tensor]:
    arrays = {name: getattr(prior, name) for name in PRIOR_TENSORS}
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items() if array is not None}


def parameters_of(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of a module that learn at present."""
    return [p for p in module.parameters() if p.requires_grad]
