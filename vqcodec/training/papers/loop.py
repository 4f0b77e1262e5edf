"""Training of an autoencoder with a quantizer in the middle: reconstruction and the quantizer's own loss."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from vqcodec import losses, networks, quantizers, ranks
from vqcodec.training.adversary import Adversary
from vqcodec.training.begin_from import start_network
from vqcodec.training.health import CollapseWatch
from vqcodec.training.papers.settings import AutoencoderSettings
from vqcodec.training.stage import Batch, Loss, Stage
from vqcodec.training.stepping import Progress, cosine
from vqcodec.training.trainer import Trainer

_WARM_UP_STEPS = 100
_ALONE, _BEGUN = "network", "begun"
# Latents of variance 1 take a hundredth of the loss: enough to keep them near what soft quantizers begin with.
_LATENT_WEIGHT = 0.01
# Features for each codevector, at which k-means knows its middle.
_FEATURES = 16
# A channel that is the same everywhere is left alone instead of being blown up to noise.
_LEAST_DEVIATION = 1e-4


class Unquantized(NamedTuple):
    """Latents [B, d, h, w] as the network made them."""

    z_q: Tensor


Batches = Callable[[int], Tensor]
"""The training batch float32 [B, 3, H, W] in [0, 1] of a step, the same for the same step."""


class Autoencoder:
    """Network, quantizer, optimizer and progress; everything that a checkpoint keeps."""

    def __init__(self, settings: AutoencoderSettings, device: torch.device) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.device = settings, device
        self.network = networks.build(settings.network_settings()).to(device)
        self.quantizer = quantizers.build(settings.quantizer_settings(), settings.options).to(device)
        self.losses = losses.build(settings.losses).to(device) if settings.losses else None
        self.progress = Progress()
        self.base_rates = [settings.learning_rate]
        learning = [p for p in (*self.network.parameters(), *self.quantizer.parameters()) if p.requires_grad]
        self.optimizer = torch.optim.Adam(
            learning, lr=settings.learning_rate, betas=(settings.adam_beta1, settings.adam_beta2)
        )
        self.adversary = Adversary(settings, device) if settings.adversarial else None

    def analyze(self, x: Tensor) -> Tensor:
        """Return latents [B, d, h, w] of pictures x [B, 3, H, W] in [0, 1]."""
        return self.network.analysis(x, _quality(x))

    def state_dict(self) -> dict[str, Any]:
        """Return everything as tensors and plain values."""
        return {
            "settings": self.settings.as_dict(),
            "network": self.network.state_dict(),
            "quantizer": self.quantizer.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": dict(vars(self.progress)),
            **(self.adversary.state_dict() if self.adversary else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.quantizer.load_state_dict(state["quantizer"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.adversary:
            self.adversary.load_state_dict(state)
        self.progress = Progress(**state["progress"])


def _quality(x: Tensor) -> Tensor:
    """Return a quality for each picture, which networks of one rate ask for and ignore."""
    return torch.full((len(x),), 50.0, device=x.device)


@torch.no_grad()
def _standardize(layer: Any, z: Tensor) -> Tensor:
    """Change the layer that has made z [B, d, h, w] so that each channel has mean 0 and variance 1; return that.

    What a new network makes of different pictures differs by a hundredth of what they have in common; a quantizer
    that starts with noise of a certain size finds nothing in that.
    """
    mean = z.mean((0, 2, 3))
    deviation = z.std((0, 2, 3)).clamp(min=_LEAST_DEVIATION)
    layer.bias.sub_(mean).div_(deviation)
    layer.weight.div_(deviation.view(-1, 1, 1, 1))
    return (z - mean.view(-1, 1, 1)) / deviation.view(-1, 1, 1)


class AutoencoderTrainer(Trainer[Autoencoder]):
    """Runs an Autoencoder over batches until its steps or seconds are spent.

    `init`: where the model lies whose network a new run begins with, if not where the settings say.
    """

    log_steps = 50

    def __init__(
        self, state: Autoencoder, batches: Batches, variance: float, checkpoint_path: Path, init: str = ""
    ) -> None:
        super().__init__(state, checkpoint_path)
        self.batches, self.init = batches, init or state.settings.init
        self.variance = state.settings.variance or variance
        self._seen = 0
        self._collapse = CollapseWatch(quantizers.method(state.settings.quantizer).remedy)

    def make_stages(self) -> list[Stage[Any]]:
        """Return the one stage of such a run; if so set, first one of the network alone, last one that is judged."""
        whole = Stage(
            _BEGUN, self._path, self._loss, self._rate,
            begin=self._begin_codebook, learn=self._learn, advance=self._advance,
        )  # fmt: skip
        alone = Stage(_ALONE, self._straight, self._loss_alone, self._rate, until=self.alone, learn=self._learn)
        adversary = self.state.adversary
        begun = adversary.stages(whole, self.fraction, self._adversarial_loss) if adversary else [whole]
        return [alone, *begun] if self.alone else [*begun]

    @property
    def alone(self) -> float:
        """The fraction of the run in which the network learns without the quantizer."""
        return self.state.settings.network_share

    def start(self) -> None:
        """Begin with the network of another model, or with standardized latents, and with codevectors among them."""
        state = self.state
        if state.progress.stage:
            return  # it has begun, and was interrupted before its first step
        if self.init:
            start_network(state.network, self.init)
        if self.init or state.settings.standardised:
            z = self._first_latents(state.quantizer.K)
            if state.settings.standardised:
                z = _standardize(state.network.get_submodule(state.network.latent_layer), z)
            state.quantizer.begin(z, self._generator())
        state.progress.stage = next(iter(self.stages))

    def batch(self) -> Batch:
        """Return the pictures of the step's number."""
        x = self.batches(self.state.progress.step).to(self.state.device)
        return Batch(x, _quality(x))

    def noted(self, entry: dict[str, Any]) -> None:
        """Say where the codebook collapses."""
        if "usage" not in entry:
            return
        said = self._collapse.see(
            entry["step"], self.state.quantizer.K, self._seen, entry["usage"], entry["perplexity"]
        )
        if said:
            tqdm.write(said, file=sys.stderr)
        self._seen = 0

    def _learn(self) -> None:
        self.state.network.train()
        self.state.quantizer.train()

    def _advance(self, fraction: float) -> None:
        self.state.quantizer.advance((fraction - self.alone) / (1 - self.alone))

    def _rate(self, fraction: float) -> float:
        if self.state.settings.schedule == "constant":
            return 1.0
        return min(1.0, (self.state.progress.step + 1) / _WARM_UP_STEPS) * cosine(fraction, 0.0)

    def _path(self, batch: Batch) -> quantizers.Quantized:
        quantized: quantizers.Quantized = self.state.quantizer(self.state.analyze(batch.x))
        return quantized

    def _loss(self, batch: Batch, y: Tensor, quantized: quantizers.Quantized) -> Loss:
        mse = F.mse_loss(y, batch.x)
        others, values = self._others(batch.x, y)
        total = self._total(mse, quantized, batch.x) + others
        self._seen += quantized.indices.numel() * ranks.count()
        return Loss(total, total.item(), {"mse": mse.item(), **values}, quantized.usage)

    def _adversarial_loss(self, batch: Batch, y: Tensor, quantized: quantizers.Quantized) -> Loss:
        adversary, network = self.state.adversary, self.state.network
        assert adversary is not None
        shown = y.detach().requires_grad_(True)
        mse = F.mse_loss(shown, batch.x)
        others, values = self._others(batch.x, shown)
        error, rest = self._squared(mse) + others, self.state.settings.quantizer_weight * quantized.loss
        (gradient,) = torch.autograd.grad(error, shown)
        gradient, figures = adversary.joined(batch.x, y, gradient, network.get_parameter(network.last_layer))
        self._seen += quantized.indices.numel() * ranks.count()
        figures = {"mse": mse.item(), **values, **figures}
        return Loss((y * gradient).sum() + rest, (error + rest).item(), figures, quantized.usage)

    def _straight(self, batch: Batch) -> Unquantized:
        return Unquantized(self.state.analyze(batch.x))

    def _loss_alone(self, batch: Batch, y: Tensor, seen: Unquantized) -> Loss:
        mse = F.mse_loss(y, batch.x)
        others, values = self._others(batch.x, y)
        total = self._squared(mse) + _LATENT_WEIGHT * seen.z_q.square().mean() + others
        return Loss(total, total.item(), {"mse": mse.item(), **values})

    def _others(self, x: Tensor, y: Tensor) -> tuple[Tensor | float, dict[str, float]]:
        """Return the weighted sum of the losses that are added, and the value of each."""
        return (0.0, {}) if self.state.losses is None else self.state.losses(x, y)

    def _squared(self, mse: Tensor) -> Tensor:
        """Return 4 MSE / variance times its weight."""
        return self.state.settings.mse_weight * 4 * mse / self.variance

    def _begin_codebook(self) -> None:
        """Put codevectors where the latents of the trained network are."""
        quantizer = self.state.quantizer
        z = self._first_latents(_FEATURES * quantizer.K)
        quantizer.begin(z, self._generator())
        quantizer.cluster(z)

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.state.settings.seed)

    @torch.no_grad()
    def _first_latents(self, count: int) -> Tensor:
        """Return latents [B, d, h, w] of the first batches, which have at least `count` positions."""
        found: list[Tensor] = []
        while sum(z[:, 0].numel() for z in found) < count:
            found.append(self.state.analyze(self.batches(len(found)).to(self.state.device)))
        return torch.cat(found)

    def _total(self, mse: Tensor, quantized: quantizers.Quantized, x: Tensor) -> Tensor:
        """Return the squared error and the quantizer's loss, or for one of a likelihood the bound times 2 / values."""
        weight = self.state.settings.quantizer_weight
        if not self.state.quantizer.likelihood:
            return self._squared(mse) + weight * quantized.loss
        values = x.numel() * self.state.network.channels / x.shape[1]
        # The optimal variance of a Gaussian decoder is its squared error: putting it in leaves the logarithm.
        return mse.clamp(min=1e-12).log() + weight * 2 * quantized.z_q.numel() / values * quantized.loss
