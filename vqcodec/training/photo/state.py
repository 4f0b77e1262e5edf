"""What a training run consists of, apart from its pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from vqcodec import losses, quantizers, ranks
from vqcodec.networks import rated
from vqcodec.quantizers import Learned
from vqcodec.training import optimizers
from vqcodec.training.average import WeightAverage
from vqcodec.training.photo.settings import TrainingSettings
from vqcodec.training.precision import wants_bf16
from vqcodec.training.rate import rate_of
from vqcodec.training.rate.contract import Base, Rate, TableForm
from vqcodec.training.rate.density import ClassDensity
from vqcodec.training.rate.static import StaticRate
from vqcodec.training.stepping import Progress

NOISE, PRIOR, QUANTIZED, SYNTHESIS = "noise", "prior", "quantised", "synthesis"
# The basis begins at its optimum for blocks and should move little; gains and densities are logarithms, one for
# many values, and may move faster than weights.
_LINEAR_SHARE, _GAIN_SHARE, _DENSITY_SHARE, _CODEBOOK_SHARE = 0.05, 2.0, 4.0, 1.0
_CONTEXT_SHARE = 1.0


class TrainingState:
    """Network, quantizer, density, optimizer and progress; everything that a checkpoint keeps."""

    def __init__(self, settings: TrainingSettings, device: torch.device) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.device = settings, device
        self.network = rated(settings.network).of_run(settings.d, settings.width, settings.lambdas).to(device)
        self.network.bf16 = ranks.from_first(lambda: wants_bf16(self.network, device, settings.bf16))
        quantizer = quantizers.build(settings.quantizer_settings(), settings.options).to(device)
        assert isinstance(quantizer, Learned)
        self.quantizer: Learned = quantizer
        self.density = ClassDensity(settings.d, settings.classes).to(device)
        form = TableForm(
            settings.table_rows, settings.classes, settings.table_count, settings.table_bits, settings.lattice_spacing
        )
        base = Base(self.network, quantizer, self.density, form)
        self.static = StaticRate(base)
        self.rate = rate_of(settings.prior).of(base, settings)
        self.coder: Rate = self.static
        self.is_final = False
        self.losses = losses.build(settings.losses).to(device) if settings.losses else None
        self.average = WeightAverage(self.network, *self.rate.networks)
        self.progress = Progress(stage=NOISE)
        self.optimizer = optimizers.build(settings.optimizer, self._groups())
        self.base_rates = [float(group["lr"]) for group in self.optimizer.param_groups]

    def _groups(self) -> list[dict[str, Any]]:
        named, rate = dict(self.network.named_parameters()), self.settings.learning_rate
        linear = self.network.linear_names
        rest = [p for name, p in named.items() if name not in linear and name != "log_gain"]
        return [
            {"params": rest, "lr": rate},
            {"params": [named[name] for name in linear], "lr": rate * _LINEAR_SHARE},
            {"params": [named["log_gain"]], "lr": rate * _GAIN_SHARE},
            {"params": list(self.density.parameters()), "lr": rate * _DENSITY_SHARE},
            {"params": [self.quantizer.codebook], "lr": rate * _CODEBOOK_SHARE},
            {"params": [p for net in self.rate.networks for p in net.parameters()], "lr": rate * _CONTEXT_SHARE},
        ]

    def learn(
        self,
        network: Callable[[str], bool] = lambda name: True,
        rate: bool = True,
        coder: Rate | None = None,
        final: bool = False,
    ) -> None:
        """Say what learns: which parameters of the network, by name, and whether density, codebook and rate do.

        A model on the way has the tables of `coder`, usually the rate; `final` ones are not fitted anew.
        """
        self.coder, self.is_final = coder or self.rate, final
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(network(name))
        self.density.requires_grad_(rate)
        self.quantizer.codebook.requires_grad_(rate and self.rate.codebook_learns)
        self.quantizer.train(rate)
        for net in self.rate.networks:
            net.requires_grad_(rate)

    def random(self) -> tuple[np.random.Generator, torch.Generator]:
        """Return this step's own random generators, so that a resumed run draws what it would have drawn."""
        numbers = np.random.default_rng((self.settings.seed, self.progress.step))
        noise = torch.Generator(device=self.device)
        noise.manual_seed(int(numbers.integers(1 << 62)))
        return numbers, noise

    def state_dict(self) -> dict[str, Any]:
        """Return everything as tensors and plain values."""
        return {
            "settings": self.settings.as_dict(),
            "network": self.network.state_dict(),
            "quantizer": self.quantizer.state_dict(),
            "density": self.density.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict(),
            "progress": dict(vars(self.progress)),
        } | self.rate.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.quantizer.load_state_dict(state["quantizer"])
        self.density.load_state_dict(state["density"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rate.load_state_dict(state)
        self.average.load_state_dict(state["average"])
        self.progress = Progress(**state["progress"])


def parameters_of(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of a module that learn at present."""
    return [p for p in module.parameters() if p.requires_grad]
