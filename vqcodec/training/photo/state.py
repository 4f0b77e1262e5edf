"""What a training run consists of, apart from its pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vqcodec import losses, quantizers
from vqcodec.encoder.by_table import TableAssigner
from vqcodec.exact.model_file import PRIOR_TENSORS
from vqcodec.exact.priors.static import StaticPrior
from vqcodec.networks.photo import PhotoNetwork
from vqcodec.quantizers import Learned
from vqcodec.training import optimizers
from vqcodec.training.average import WeightAverage
from vqcodec.training.photo.settings import TrainingSettings
from vqcodec.training.rate.context_net import ContextNet
from vqcodec.training.rate.density import ClassDensity
from vqcodec.training.rate.pair_tables import PairTables
from vqcodec.training.stepping import Progress

NOISE, PRIOR, QUANTISED, SYNTHESIS = "noise", "prior", "quantised", "synthesis"
_LINEAR = ("block_analysis", "block_synthesis")
_LINEAR_SHARE, _GAIN_SHARE, _DENSITY_SHARE, _CODEBOOK_SHARE = 0.05, 2.0, 4.0, 1.0
_CONTEXT_SHARE = 1.0


class TrainingState:
    """Network, quantizer, density, optimizer and progress; everything that a checkpoint keeps."""

    def __init__(self, settings: TrainingSettings, device: torch.device) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.device = settings, device
        self.network = PhotoNetwork(settings.d, settings.widths(), settings.lambdas).to(device)
        self.network.bf16 = settings.bf16
        quantizer = quantizers.build(settings.quantizer_settings(), settings.options).to(device)
        assert isinstance(quantizer, Learned)
        self.quantizer: Learned = quantizer
        self.density = ClassDensity(settings.d, settings.classes).to(device)
        self.prior: StaticPrior | None = None
        self.context: ContextNet | None = None
        self.context_is_trained = False
        self.pairs: PairTables | None = None
        self._assigner: TableAssigner | None = None
        if settings.prior == "context":
            embed = settings.context_width // 2
            self.context = ContextNet(settings.group_sizes(), settings.context_rows, embed, settings.context_width)
            self.context.to(device)
        self.losses = losses.build(settings.losses).to(device) if settings.losses else None
        self.average = WeightAverage(self.network, *([self.context] if self.context else []))
        self.progress = Progress(stage=NOISE)
        self.optimizer = optimizers.build(settings.optimizer, self._groups())
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
            {"params": list(self.context.parameters()) if self.context else [], "lr": rate * _CONTEXT_SHARE},
        ]

    def enter(self, stage: str) -> None:
        """Start a stage, which decides what learns.

        In `prior` only the context prior, in `synthesis` only the synthesis, in `quantised` all, but with a
        context prior not the gains: the gradient that goes straight through the choice of indices takes for
        real an error that does not shrink with the step, and pulls them up without end.
        """
        self.progress.stage = stage
        frozen = stage == SYNTHESIS
        gains_rest = stage == QUANTISED and self.context is not None
        for name, parameter in self.network.named_parameters():
            learns = name.startswith(self.network.synthesis_names) if frozen else stage != PRIOR
            parameter.requires_grad_(learns and not (gains_rest and name == "log_gain"))
        self.density.requires_grad_(not frozen)
        self.quantizer.codebook.requires_grad_(not frozen and self.context is None)
        self.quantizer.train(not frozen)
        if self.context is not None:
            self.context.requires_grad_(not frozen)

    def assigner(self) -> TableAssigner:
        """Return the search for indices under the context prior's tables at hand."""
        assert self.pairs is not None
        if self._assigner is None:
            self._assigner = self.pairs.assigner(self.quantizer.codebook.detach(), self.quantizer.settings.scale)
        return self._assigner

    def set_pairs(self, pairs: PairTables) -> None:
        """Take over tables for pairs of classes."""
        self.pairs, self._assigner = pairs, None

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
            "context": self.context.state_dict() if self.context else {},
            "context_is_trained": self.context_is_trained,
            "average": self.average.state_dict(),
            "pairs": {} if self.pairs is None else self.pairs.tensors(),
            "progress": dict(vars(self.progress)),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.quantizer.load_state_dict(state["quantizer"])
        self.density.load_state_dict(state["density"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.context is not None:
            self.context.load_state_dict(state["context"])
        self.context_is_trained = state["context_is_trained"]
        self.average.load_state_dict(state["average"])
        if state["pairs"]:
            self.set_pairs(PairTables(**{name: value.numpy() for name, value in state["pairs"].items()}))
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
